/** A client that sends bytes as they are and keeps those that come, whatever they are. */
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';

export interface Message {
  /** The type as a letter. */
  readonly type: string;
  readonly body: Buffer;
}

const QUIET_MS = 250;

export class BytesClient {
  #socket: Socket;
  #chunks: Buffer[] = [];
  #lastMs = Date.now();
  closed = false;

  constructor(port: number) {
    this.#socket = connect(port, '127.0.0.1');
    this.#listen(this.#socket);
  }

  #listen(socket: Socket): void {
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#lastMs = Date.now();
    });
    socket.on('error', () => {});
    const ended = (): void => {
      this.closed = true;
    };
    socket.on('end', ended);
    socket.on('close', ended);
  }

  send(bytes: Buffer): void {
    if (!this.#socket.destroyed) this.#socket.write(bytes);
    this.#lastMs = Date.now();
  }

  /** Goes on in TLS; what comes then is kept as before. A handshake that fails closes. */
  startTls(): void {
    this.#socket.removeAllListeners('data');
    this.#socket = connectTls({ socket: this.#socket, rejectUnauthorized: false });
    this.#listen(this.#socket);
  }

  /** What came since the last call. */
  take(): Buffer {
    const taken = Buffer.concat(this.#chunks);
    this.#chunks = [];
    return taken;
  }

  /** Until nothing came for a moment, or the connection is closed. */
  async quiet(forMs = QUIET_MS): Promise<void> {
    while (!this.closed && Date.now() - this.#lastMs < forMs) await sleep(10);
  }

  /** False where it did not come true in time. */
  async until(condition: (received: Buffer) => boolean, timeoutMs: number): Promise<boolean> {
    const deadline = Date.now() + timeoutMs;
    while (Date.now() < deadline) {
      if (condition(Buffer.concat(this.#chunks))) return true;
      await sleep(10);
    }
    return condition(Buffer.concat(this.#chunks));
  }

  end(): void {
    this.#socket.destroy();
  }
}

/** The server's messages among bytes; single bytes that answer a request for encryption come as `S` or `N` without a body. */
export function messagesIn(bytes: Buffer, encryptionAnswers: boolean): Message[] {
  const messages: Message[] = [];
  let at = 0;
  const isAnswer = (): boolean => encryptionAnswers && (bytes[at] === 0x53 || bytes[at] === 0x4e);
  while (isAnswer()) {
    messages.push({ type: String.fromCharCode(bytes[at] ?? 0), body: Buffer.alloc(0) });
    at++;
  }
  while (bytes.length - at >= 5) {
    const end = at + 1 + bytes.readUInt32BE(at + 1);
    messages.push({ type: String.fromCharCode(bytes[at] ?? 0), body: bytes.subarray(at + 5, end) });
    at = end;
  }
  return messages;
}

/** A field of an error, by its letter. */
export function errorField(message: Message, field: string): string | undefined {
  const found = message.body
    .toString('latin1')
    .split('\0')
    .find((part) => part.startsWith(field));
  return found?.slice(1);
}
