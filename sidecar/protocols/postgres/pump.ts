import { stay } from '../../transport/stay.ts';
import type { FrameReader } from '../../wire/postgres/frame.ts';
import { encodeFlush } from '../../wire/postgres/messages/empty.ts';
import { FrameSplitter } from '../../wire/postgres/splitter.ts';
import { Backend } from './backend.ts';
import { onFrontend, onKnownQuery } from './frontend.ts';
import type { PgSession } from './session.ts';

/** Answers of our own that gather before they are written. */
const ANSWER_BYTES = 64 * 1024;

/** Moves messages both ways until the session ends. Resolves then. */
export function runSession(session: PgSession, reader: FrameReader): Promise<void> {
  const { client, server } = session.parts;
  const pump = new Pump(session, reader);
  const splitter = new FrameSplitter(new Backend(session), { wholeBytes: session.limits.maxMessageBytes });
  const fromServer = (chunk: Buffer): void => {
    guard(session, () => {
      splitter.push(chunk);
      session.checkReturned();
    });
    if (!session.toClient.flush() && !session.ended) server.stream.pause();
    pump.send();
    guard(session, () => session.later.soon());
    if (session.queue.empty) stay();
  };
  if (server.leftover.length > 0) fromServer(server.leftover);
  server.stream.start({
    data: fromServer,
    drained: () => pump.drained(),
    ended: () => session.end('server', 'the target closed the connection'),
    closed: () => session.end('server', 'the target closed the connection'),
  });
  client.start({
    data: (chunk) => pump.push(chunk, client.lends),
    drained: () => {
      server.stream.resume();
      pump.clientReads();
    },
    ended: () => session.end('client'),
    closed: () => session.end('client'),
  });
  pump.run();
  return session.finished;
}

/** Takes the client's messages one by one; one that has to wait holds up those behind it. */
class Pump {
  readonly #session: PgSession;
  readonly #reader: FrameReader;
  #waiting = false;
  #paused = false;
  /** The client does not read what it was sent. */
  #unread = false;
  /** The target has not yet taken what it was sent. */
  #unsent = false;

  constructor(session: PgSession, reader: FrameReader) {
    this.#session = session;
    this.#reader = reader;
  }

  /** A chunk that is lent is copied where it is kept. */
  push(chunk: Buffer, lent: boolean): void {
    if (!this.#waiting && !this.#unread && this.#reader.buffered === 0 && !this.#isAhead() && this.#takeKnown(chunk)) return;
    this.#reader.push(lent ? Buffer.from(chunk) : chunk);
    if (this.#waiting || this.#unread) {
      if (this.#reader.buffered > this.#session.limits.maxBufferedBytes) this.#pause();
      return;
    }
    this.run();
  }

  /** The short way of what comes most: one Query, and the answer to it is waited for. */
  #takeKnown(chunk: Buffer): boolean {
    const session = this.#session;
    try {
      const taken = onKnownQuery(session, chunk, this.send);
      if (taken === null) return false;
      if (taken.wait !== undefined) this.#wait(taken.wait);
      else stay();
    } catch (error: unknown) {
      session.failed(error);
    }
    this.#flush();
    return true;
  }

  run(): void {
    const session = this.#session;
    guard(session, () => {
      while (!this.#waiting && !this.#unread && !session.ended) {
        if (this.#isAhead()) {
          this.#wait(this.#answered());
          break;
        }
        const frame = this.#reader.next();
        if (frame === null) break;
        const wait = onFrontend(session, frame);
        if (wait !== undefined) this.#wait(wait);
        // Who does not read the answers is not asked for more: denials are answered here, and would pile up.
        if (session.toClient.waiting > ANSWER_BYTES && !session.toClient.flush()) this.#unread = true;
      }
    });
    this.#flush();
    if (!this.#waiting && !this.#unread) stay();
  }

  #flush(): void {
    const session = this.#session;
    if (!session.toClient.flush()) this.#unread = true;
    if (this.#unread && !session.ended) this.#pause();
    this.send();
    guard(session, () => session.later.run());
  }

  /** What is for the target goes; where it is slow the client waits until `drained`. */
  readonly send = (): void => {
    if (!this.#session.toServer.flush()) {
      this.#unsent = true;
      if (!this.#session.ended) this.#pause();
    } else if (!this.#unsent && !this.#waiting) this.#reader.settle();
  };

  /** The target owes so many answers that no more is asked of it. */
  #isAhead(): boolean {
    return this.#session.queue.length >= this.#session.limits.maxUnanswered;
  }

  /** Half of what the target owes is there. It keeps answers of an extended query back until a Sync, and gives them for a Flush. */
  async #answered(): Promise<void> {
    const session = this.#session;
    session.use.count('maxUnanswered');
    if (session.segmentSent) session.sendFollowing(encodeFlush());
    this.send();
    while (session.queue.length > session.limits.maxUnanswered / 2 && !session.ended) await session.waitSettled();
  }

  clientReads(): void {
    if (!this.#unread) return;
    this.#unread = false;
    this.run();
    this.resume();
  }

  /** The target has taken all that was sent. */
  drained(): void {
    this.#unsent = false;
    if (!this.#waiting) this.#reader.settle();
    this.resume();
  }

  resume(): void {
    if (!this.#paused || this.#unread || (this.#waiting && this.#reader.buffered > this.#session.limits.maxBufferedBytes)) return;
    this.#paused = false;
    this.#session.parts.client.resume();
  }

  #pause(): void {
    this.#paused = true;
    this.#session.parts.client.pause();
  }

  #wait(wait: Promise<void>): void {
    this.#waiting = true;
    wait
      .catch((error: unknown) => guard(this.#session, () => rethrow(error)))
      .finally(() => {
        this.#waiting = false;
        this.run();
        this.resume();
      });
  }
}

function rethrow(error: unknown): never {
  throw error;
}

function guard(session: PgSession, step: () => void): void {
  try {
    step();
  } catch (error: unknown) {
    session.failed(error);
  }
}
