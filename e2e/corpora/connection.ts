/** One connection of a case: it sends bytes as they are and keeps every message that came. */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import * as bytes from './bytes.ts';

export interface Message {
  /** The type as a letter. */
  readonly type: string;
  readonly body: Buffer;
}

export interface Account {
  readonly user: string;
  readonly password: string;
}

const LOGIN_MS = 8000;

export class Connection {
  /** ParameterStatus and errors of the login, then all that came. */
  readonly messages: Message[] = [];
  closed = false;
  /** When the last byte came. */
  lastMs = Date.now();
  readonly #socket: Socket;
  readonly #account: Account;
  readonly #nonce = randomBytes(18).toString('base64');
  /** Bytes of a message that is not whole yet. */
  #rest: Buffer[] = [];
  #restBytes = 0;
  /** How many bytes have to be there before there is something to read. */
  #wantedBytes = 5;
  #ready = 0;
  #wake: (() => void)[] = [];

  private constructor(port: number, account: Account) {
    this.#account = account;
    this.#socket = connect(port, '127.0.0.1');
    this.#socket.setNoDelay(true);
    this.#socket.on('data', (chunk: Buffer) => this.#take(chunk));
    const end = (): void => {
      this.closed = true;
      this.#wakeAll();
    };
    this.#socket.on('error', end);
    this.#socket.on('close', end);
  }

  /** Logs in, or is refused: then it is closed. */
  static async open(port: number, account: Account, database: string, more: Readonly<Record<string, string>> = {}): Promise<Connection> {
    const connection = new Connection(port, account);
    connection.write(bytes.startup({ user: account.user, database, ...more }));
    await connection.until(() => connection.#ready > 0 || connection.closed, LOGIN_MS);
    return connection;
  }

  write(...parts: readonly Buffer[]): void {
    if (!this.#socket.destroyed) this.#socket.write(Buffer.concat(parts));
  }

  /** Sends, and waits for as many ReadyForQuery. False where they did not come in time; an end of the connection is an answer. */
  async round(parts: readonly Buffer[], readies = 1, timeoutMs = 9000): Promise<boolean> {
    const wanted = this.#ready + readies;
    this.write(...parts);
    return this.until(() => this.#ready >= wanted || this.closed, timeoutMs);
  }

  /** False where it did not come true in time. */
  until(condition: () => boolean, timeoutMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), timeoutMs);
      const check = (): void => {
        if (!condition()) {
          this.#wake.push(check);
          return;
        }
        clearTimeout(timer);
        resolve(true);
      };
      check();
    });
  }

  end(): void {
    this.write(bytes.terminate());
    this.#socket.end();
    setTimeout(() => this.#socket.destroy(), 50).unref();
  }

  #wakeAll(): void {
    for (const check of this.#wake.splice(0)) check();
  }

  #take(chunk: Buffer): void {
    this.lastMs = Date.now();
    this.#rest.push(chunk);
    this.#restBytes += chunk.length;
    if (this.#restBytes < this.#wantedBytes) return;
    const bytes = this.#rest.length === 1 ? chunk : Buffer.concat(this.#rest);
    let at = 0;
    this.#wantedBytes = 5;
    while (bytes.length - at >= 5) {
      const length = bytes.readUInt32BE(at + 1) + 1;
      if (bytes.length - at < length) {
        this.#wantedBytes = length;
        break;
      }
      this.#message({ type: String.fromCharCode(bytes[at] ?? 0), body: bytes.subarray(at + 5, at + length) });
      at += length;
    }
    this.#rest = [bytes.subarray(at)];
    this.#restBytes = bytes.length - at;
    this.#wakeAll();
  }

  #message(message: Message): void {
    if (message.type === 'R') this.#authenticate(message.body);
    else if (this.#ready > 0 || message.type === 'S' || message.type === 'E') this.messages.push(message);
    if (message.type === 'Z') this.#ready++;
  }

  /** A sidecar asks in clear or not at all, a server for SCRAM (RFC 5802). */
  #authenticate(body: Buffer): void {
    const first = `n=,r=${this.#nonce}`;
    switch (body.readInt32BE(0)) {
      case 3:
        this.write(bytes.password(this.#account.password));
        break;
      case 10:
        this.write(bytes.saslFirst('SCRAM-SHA-256', `n,,${first}`));
        break;
      case 11: {
        const challenge = body.toString('utf8', 4);
        const parts = new Map(challenge.split(',').map((part) => [part.charAt(0), part.slice(2)]));
        const salt = Buffer.from(parts.get('s') ?? '', 'base64');
        const salted = pbkdf2Sync(this.#account.password, salt, Number(parts.get('i')), 32, 'sha256');
        const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();
        const clientKey = hmac(salted, 'Client Key');
        const last = `c=biws,r=${parts.get('r')}`;
        const signature = hmac(createHash('sha256').update(clientKey).digest(), [first, challenge, last].join(','));
        const proof = clientKey.map((byte, index) => byte ^ (signature[index] ?? 0));
        this.write(bytes.saslNext(`${last},p=${Buffer.from(proof).toString('base64')}`));
        break;
      }
      default:
    }
  }
}
