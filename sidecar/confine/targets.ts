import { isIP, SocketAddress } from 'node:net';
import type { SnapshotResource } from '#crds/policy/snapshot.ts';
import type { ResourceKey } from '../pipeline.ts';
import type { Destination } from './original-destination.ts';

export interface TargetTableOptions {
  readonly resources: () => readonly SnapshotResource[];
  /** Rejects where there is no address. */
  readonly addresses: (host: string, namespace: string) => Promise<readonly string[]>;
  readonly now: () => number;
  readonly refreshMs?: number;
}

export type Found =
  | { readonly type: 'resource'; readonly resource: SnapshotResource }
  | { readonly type: 'ambiguous'; readonly resources: readonly ResourceKey[] }
  | { readonly type: 'none' };

/** How long an address stays known after DNS last gave it: the agent may have asked before. */
const REMEMBERED_MS = 10 * 60_000;
const MOST_ADDRESSES = 10_000;

/** Which resource an address and port is of, by what DNS says of the resources' hosts: a Service's address, a headless one's pods, a server outside. */
export class TargetTable {
  readonly #options: TargetTableOptions;
  /** By host and namespace: each address and when it was last given. */
  readonly #seen = new Map<string, Map<string, number>>();
  readonly #timer: NodeJS.Timeout;
  #refreshing: Promise<void> | null = null;

  constructor(options: TargetTableOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.refresh(), options.refreshMs ?? 5_000);
    this.#timer.unref();
  }

  async find(destination: Destination): Promise<Found> {
    const known = this.#look(destination);
    if (known.type !== 'none') return known;
    await this.refresh();
    return this.#look(destination);
  }

  /** Asks for every host. Never rejects: a host that can't be looked up keeps what is remembered. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look({ ip, port }: Destination): Found {
    const found = this.#options
      .resources()
      .filter((resource) => placesOf(resource).some((at) => at.port === port && this.#isAt(at.host, resource.namespace, ip)));
    // One that this workload may not ask for anyway, made by somebody elsewhere, does not stand in the way of its own.
    const known = found.filter(({ policies }) => policies.length > 0);
    const [first, ...others] = known.length > 0 ? known : found;
    if (first === undefined) return { type: 'none' };
    if (others.length === 0) return { type: 'resource', resource: first };
    return { type: 'ambiguous', resources: [first, ...others].map(({ namespace, name }) => ({ namespace, name })) };
  }

  #isAt(host: string, namespace: string, ip: string): boolean {
    if (isIP(host) !== 0) return canonical(host) === ip;
    const lastMs = this.#seen.get(keyOf(host, namespace))?.get(ip);
    return lastMs !== undefined && this.#options.now() - lastMs <= REMEMBERED_MS;
  }

  async #refresh(): Promise<void> {
    const wanted = new Map<string, { readonly host: string; readonly namespace: string }>();
    for (const resource of this.#options.resources()) {
      for (const { host } of placesOf(resource)) {
        if (isIP(host) === 0) wanted.set(keyOf(host, resource.namespace), { host, namespace: resource.namespace });
      }
    }
    for (const key of this.#seen.keys()) if (!wanted.has(key)) this.#seen.delete(key);
    await Promise.all([...wanted].map(([key, { host, namespace }]) => this.#ask(key, host, namespace)));
  }

  async #ask(key: string, host: string, namespace: string): Promise<void> {
    const addresses = await this.#options.addresses(host, namespace).catch(() => []);
    const now = this.#options.now();
    const seen = this.#seen.get(key) ?? new Map<string, number>();
    this.#seen.set(key, seen);
    for (const ip of addresses) if (seen.size < MOST_ADDRESSES) seen.set(canonical(ip), now);
    for (const [ip, lastMs] of seen) if (now - lastMs > REMEMBERED_MS) seen.delete(ip);
  }
}

const placesOf = ({ address, aliases }: SnapshotResource) => [address, ...aliases];
const keyOf = (host: string, namespace: string) => `${namespace}/${host}`;

function canonical(ip: string): string {
  return isIP(ip) === 6 ? new SocketAddress({ address: ip, family: 'ipv6' }).address : ip;
}
