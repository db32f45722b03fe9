/** Stands before the real server and keeps what is sent to it. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface ProtocolRelay {
  readonly port: number;
  /** What was sent to the server since the last call. */
  take(): Buffer;
  stop(): Promise<void>;
}

export async function startProtocolRelay(port: number): Promise<ProtocolRelay> {
  const sockets = new Set<Socket>();
  let sent: Buffer[] = [];
  const server = createServer((client) => {
    const upstream = connect(port, '127.0.0.1');
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.once('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.on('data', (chunk: Buffer) => sent.push(chunk));
    client.pipe(upstream);
    upstream.pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    take: () => {
      const taken = Buffer.concat(sent);
      sent = [];
      return taken;
    },
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
