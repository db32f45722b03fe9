import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface TcpProxy {
  readonly port: number;
  /** Connections that were taken since the start. */
  readonly accepted: number;
  /** Ends all connections; new ones are refused until `mend`. */
  cut(): void;
  /** Connections stay, and carry nothing any more: what a firewall does that forgot them. New ones are silent too, until `mend`, unless it is said. */
  freeze(what?: 'what is open'): void;
  mend(): void;
  close(): Promise<void>;
}

/** Stands between a client and a real server, so that a test can break the line. */
export async function startTcpProxy(to: URL): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  const frozen = new Set<Socket>();
  let state: 'open' | 'cut' | 'frozen' = 'open';
  let accepted = 0;
  const server = createServer((client) => {
    accepted++;
    if (state === 'cut') {
      client.destroy();
      return;
    }
    const upstream = connect(Number(to.port), to.hostname);
    for (const [from, into] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on('data', (chunk: Buffer) => {
        if (state === 'open' && !frozen.has(from)) into.write(chunk);
      });
      from.on('error', () => into.destroy());
      from.on('close', () => {
        sockets.delete(from);
        frozen.delete(from);
        into.destroy();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const endAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    get accepted() {
      return accepted;
    },
    cut: () => {
      state = 'cut';
      endAll();
    },
    freeze: (what) => {
      if (what === undefined) state = 'frozen';
      else for (const socket of sockets) frozen.add(socket);
    },
    mend: () => {
      // What was frozen has lost bytes: it can't go on.
      if (state === 'frozen') endAll();
      for (const socket of frozen) socket.destroy();
      state = 'open';
    },
    close: async () => {
      endAll();
      server.close();
      await once(server, 'close');
    },
  };
}
