import { connect, type Socket } from 'node:net';
import { encodePassword } from '../../../wire/postgres/messages/password.ts';
import { encodeStartupMessage, PROTOCOL_3_0 } from '../../../wire/postgres/messages/startup.ts';

export interface Answer {
  /** The type as a letter. */
  readonly type: string;
  readonly body: Buffer;
}

/** A client that sends bytes as they are, and reads with a parser of its own: the driver's codecs do not test themselves here. */
export class RawClient {
  readonly socket: Socket;
  readonly #answers: Answer[] = [];
  #rest: Buffer = Buffer.alloc(0);
  #closed = false;
  #wake: (() => void) | null = null;

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.on('data', (chunk: Buffer) => this.#take(chunk));
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.#closed = true;
      this.#wake?.();
    });
  }

  static async login(port: number, password = 'an old password'): Promise<RawClient> {
    const client = new RawClient(port);
    client.send(
      encodeStartupMessage(PROTOCOL_3_0, [
        ['user', 'app'],
        ['database', 'shop'],
      ]),
    );
    await client.until('R');
    client.send(encodePassword(Buffer.from(password)));
    await client.until('Z');
    return client;
  }

  send(...parts: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(parts));
  }

  /** Answers up to and with the `count`th of the type, or to the end of the connection. */
  async until(type: string, count = 1): Promise<Answer[]> {
    const taken: Answer[] = [];
    let seen = 0;
    for (;;) {
      for (let next = this.#answers.shift(); next !== undefined; next = this.#answers.shift()) {
        taken.push(next);
        if (next.type === type && ++seen === count) return taken;
      }
      if (this.#closed) return [...taken, { type: 'closed', body: Buffer.alloc(0) }];
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  end(): void {
    this.socket.destroy();
  }

  #take(chunk: Buffer): void {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (this.#rest.length - at >= 5) {
      const length = this.#rest.readUInt32BE(at + 1);
      if (this.#rest.length - at < length + 1) break;
      this.#answers.push({ type: String.fromCharCode(this.#rest[at] ?? 0), body: this.#rest.subarray(at + 5, at + 1 + length) });
      at += length + 1;
    }
    this.#rest = this.#rest.subarray(at);
    this.#wake?.();
  }
}

/** Types of answers as one string: `1 2 D C Z`. */
export function typesOf(answers: readonly Answer[]): string {
  return answers.map((answer) => answer.type).join(' ');
}

/** SQLSTATE of the errors among the answers. */
export function statesOf(answers: readonly Answer[]): string[] {
  return answers.filter((answer) => answer.type === 'E').map((answer) => /\0C(\w{5})\0/.exec(answer.body.toString('latin1'))?.[1] ?? '?');
}

/** Transaction status of each ReadyForQuery. */
export function statusesOf(answers: readonly Answer[]): string {
  return answers
    .filter((answer) => answer.type === 'Z')
    .map((answer) => answer.body.toString('latin1'))
    .join('');
}
