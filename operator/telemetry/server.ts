/** HTTP for the kubelet and Prometheus: GET /healthz, /readyz, /metrics. Nothing here can change anything. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Health } from './health.ts';

export interface TelemetryOptions {
  readonly port: number;
  readonly alive: () => Health;
  readonly ready: () => Health;
  readonly metrics: () => Promise<string>;
}

export interface TelemetryServer {
  readonly port: number;
  close(): Promise<void>;
}

export async function startTelemetry({ port, alive, ready, metrics }: TelemetryOptions): Promise<TelemetryServer> {
  const answers: { readonly [path: string]: () => Promise<readonly [status: number, type: string, body: string]> } = {
    '/healthz': async () => healthAnswer(alive()),
    '/readyz': async () => healthAnswer(ready()),
    '/metrics': async () => [200, 'text/plain; version=0.0.4; charset=utf-8', await metrics()],
  };
  const server = createServer((request, response) => {
    const path = request.url?.split('?')[0] ?? '';
    const answer = request.method === 'GET' && Object.hasOwn(answers, path) ? answers[path] : undefined;
    const write = ([status, type, body]: readonly [number, string, string]) =>
      response.writeHead(status, { 'content-type': type }).end(body);
    if (answer === undefined) write([404, 'text/plain', 'not found\n']);
    else void answer().then(write, () => write([500, 'text/plain', 'failed\n']));
  });
  server.requestTimeout = 5_000;
  server.listen(port);
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

function healthAnswer({ ok, problems }: Health): readonly [number, string, string] {
  return [ok ? 200 : 503, 'text/plain', ok ? 'ok\n' : `${problems.join('\n')}\n`];
}
