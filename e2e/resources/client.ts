/** A client that keeps nothing of what it is sent but counts, and that can stop reading. */
import { connect, type Socket } from 'node:net';
import * as bytes from '#e2e/corpora/bytes.ts';
import type { Stage } from './stage.ts';

/** Kept of a message: enough for an error, a notice or a short row. */
const KEPT_BYTES = 2048;

export class LoadClient {
  readonly socket: Socket;
  /** Of each type of message. */
  readonly counts = new Map<string, number>();
  /** SQLSTATE and message of each error. */
  readonly errors: string[] = [];
  /** Process and secret of the session. */
  key: Buffer = Buffer.alloc(0);
  /** The last row's first bytes. */
  lastRow = '';
  received = 0;
  closed = false;
  #type = '';
  #left = 0;
  #kept: Buffer[] = [];
  #header: Buffer = Buffer.alloc(0);
  #wake: (() => void)[] = [];

  private constructor(port: number) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.setNoDelay(true);
    this.socket.on('data', (chunk: Buffer) => this.#take(chunk));
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.closed = true;
      this.#awake();
    });
  }

  /** Not logged in, and maybe never. */
  static raw(port: number): LoadClient {
    return new LoadClient(port);
  }

  static async login(stage: Stage, resource: string, password = 'none'): Promise<LoadClient> {
    const client = new LoadClient(stage.port(resource));
    client.write(bytes.startup(stage.login));
    await client.until(() => client.count('R') > 0);
    if (client.count('Z') === 0 && !client.closed) client.write(bytes.password(password));
    await client.until(() => client.count('Z') > 0);
    return client;
  }

  count(type: string): number {
    return this.counts.get(type) ?? 0;
  }

  /** False where the socket would rather wait. */
  write(...parts: readonly Buffer[]): boolean {
    return this.socket.destroyed ? true : this.socket.write(parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts));
  }

  /** Writes all, as fast as it is taken; ends early where the connection does. */
  async pour(parts: Iterable<Buffer>): Promise<void> {
    for (const part of parts) {
      if (this.closed) return;
      if (!this.write(part)) await this.#drained();
    }
  }

  /** Sends, and waits for the next ReadyForQuery or the end. */
  async round(...parts: readonly Buffer[]): Promise<void> {
    const before = this.count('Z');
    this.write(...parts);
    await this.until(() => this.count('Z') > before);
  }

  /** Resolves when it holds or the connection has ended. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition() && !this.closed) await new Promise<void>((resolve) => this.#wake.push(resolve));
  }

  end(): Promise<void> {
    this.socket.destroy();
    return this.until(() => false);
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.socket.off('drain', done).off('close', done);
        resolve();
      };
      this.socket.on('drain', done).on('close', done);
    });
  }

  #take(chunk: Buffer): void {
    this.received += chunk.length;
    let at = 0;
    while (at < chunk.length) {
      if (this.#left === 0) {
        const header = chunk.subarray(at, at + 5 - this.#header.length);
        this.#header = Buffer.concat([this.#header, header]);
        at += header.length;
        if (this.#header.length < 5) break;
        this.#type = String.fromCharCode(this.#header[0] as number);
        this.#left = this.#header.readUInt32BE(1) - 4;
        this.#header = Buffer.alloc(0);
        this.#kept = [];
        if (this.#left > 0) continue;
      } else {
        const part = chunk.subarray(at, at + this.#left);
        at += part.length;
        this.#left -= part.length;
        if (this.#kept.length < 8) this.#kept.push(Buffer.from(part.subarray(0, KEPT_BYTES)));
        if (this.#left > 0) continue;
      }
      this.#whole(this.#type, Buffer.concat(this.#kept));
    }
    this.#awake();
  }

  #whole(type: string, body: Buffer): void {
    this.counts.set(type, this.count(type) + 1);
    if (type === 'E')
      this.errors.push(`${/C(\w{5})\0/.exec(body.toString('latin1'))?.[1]} ${/\0M([^\0]*)/.exec(body.toString('utf8'))?.[1]}`);
    if (type === 'K') this.key = body;
    if (type === 'D') this.lastRow = body.toString('latin1');
  }

  #awake(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}
