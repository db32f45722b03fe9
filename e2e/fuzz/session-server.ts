/** A server that greets as it should, and then answers what it is told to: one session at a time. */
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { GREETING } from '../corpora/protocol-server.ts';
import { STATE } from './session-messages.ts';

export interface ScriptedServer {
  readonly port: number;
  /** Sessions that are open. */
  readonly open: number;
  /** What came after the startup packets, of the session since `play`. */
  readonly received: Buffer;
  /** The next answers, one each time that something comes; `usual` after them. */
  play(answers: readonly Buffer[], usual: Buffer): void;
  /** Sends the next answer to nothing. */
  push(): void;
  stop(): Promise<void>;
}

const CATALOG = /chaperone catalog|SET search_path = pg_catalog/;

export async function startScriptedServer(): Promise<ScriptedServer> {
  const sockets = new Set<Socket>();
  let [answers, usual]: [Buffer[], Buffer] = [[], Buffer.alloc(0)];
  let received: Buffer[] = [];
  let newest: Socket | null = null;
  const answer = (socket: Socket): void => void socket.write(answers.shift() ?? usual);
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
    socket.once('data', () => {
      socket.write(GREETING);
      socket.on('data', (chunk: Buffer) => {
        // The sidecar's own session for the catalog: there is none here.
        if (CATALOG.test(chunk.toString('latin1'))) {
          socket.destroy();
          return;
        }
        newest = socket;
        received.push(chunk);
        // Without an answer to this no session begins.
        if (chunk.includes('current_schemas(true)')) socket.write(STATE);
        else answer(socket);
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    get open() {
      return sockets.size;
    },
    get received() {
      return Buffer.concat(received);
    },
    play: (next, after) => {
      [answers, usual] = [[...next], after];
      received = [];
    },
    push: () => {
      if (newest !== null && !newest.destroyed && answers.length > 0) answer(newest);
    },
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
