export interface ListenAddress {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
}

/** What the person who starts a sidecar got wrong; the message says what to do. */
export class StartError extends Error {
  override readonly name = 'StartError';
}

/** `orders=127.0.0.1:6432`, `shop/orders=[::1]:6432`. Throws StartError. */
export function parseListen(text: string): { readonly resource: string; readonly address: ListenAddress } {
  const [, resource, bracketed, plain, port] =
    /^([a-z0-9][a-z0-9.-]*(?:\/[a-z0-9][a-z0-9.-]*)?)=(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  if (resource === undefined || host === undefined || Number(port) > 65_535) {
    throw new StartError(`--listen ${text}: write NAME=HOST:PORT or NAMESPACE/NAME=HOST:PORT`);
  }
  return { resource, address: { host, port: Number(port) } };
}

/** Throws StartError. */
export function parseListens(texts: readonly string[]): ReadonlyMap<string, ListenAddress> {
  const map = new Map<string, ListenAddress>();
  for (const text of texts) {
    const { resource, address } = parseListen(text);
    if (map.has(resource)) throw new StartError(`--listen ${resource} is there twice`);
    map.set(resource, address);
  }
  return map;
}

/** `shop/agent`. Throws StartError. */
export function parseWorkload(text: string): { readonly namespace: string; readonly serviceAccount: string } {
  const [, namespace, serviceAccount] = /^([a-z0-9][a-z0-9-]{0,62})\/([a-z0-9][a-z0-9.-]{0,252})$/.exec(text) ?? [];
  if (namespace === undefined || serviceAccount === undefined)
    throw new StartError(`--workload ${text}: write NAMESPACE/NAME of a service account`);
  return { namespace, serviceAccount };
}

export function parsePort(option: string, text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (!(port <= 65_535)) throw new StartError(`${option} ${text}: must be a port, 0 to 65535`);
  return port;
}

export const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);

export const addressText = ({ host, port }: ListenAddress): string => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);
