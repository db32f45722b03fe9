import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Metrics } from './metrics.ts';

export interface HealthOptions {
  /** 0 takes a free port. */
  readonly port: number;
  /** Loopback where absent: metrics name resources, policies and rules. In a pod the kubelet and Prometheus come from outside. */
  readonly host?: string | undefined;
  readonly metrics: Metrics;
  /** False before the first snapshot, while it is stale, and when draining. */
  readonly ready: () => boolean;
}

export interface HealthServer {
  readonly port: number;
  close(): Promise<void>;
}

/** GET /metrics, /healthz (the process answers), /readyz. Rejects where the port is taken. */
export async function serveHealth(options: HealthOptions): Promise<HealthServer> {
  const server = createServer({ headersTimeout: 5000, requestTimeout: 5000 }, (request, response) => {
    const { status, type, body } = answer(request.method, request.url, options);
    response.writeHead(status, { 'content-type': type }).end(body);
  });
  server.maxConnections = 32;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port: options.port, host: options.host ?? '127.0.0.1', exclusive: true }, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function answer(method: string | undefined, url: string | undefined, options: HealthOptions) {
  const plain = (status: number, body: string) => ({ status, type: 'text/plain; charset=utf-8', body: `${body}\n` });
  if (method !== 'GET') return plain(405, 'GET only');
  switch (url) {
    case '/metrics':
      return { status: 200, type: 'text/plain; version=0.0.4; charset=utf-8', body: options.metrics.text() };
    case '/healthz':
      return plain(200, 'ok');
    case '/readyz':
      return options.ready() ? plain(200, 'ready') : plain(503, 'not ready');
    default:
      return plain(404, 'not found');
  }
}
