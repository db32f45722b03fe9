import type { ByteStream } from '../../transport/stream.ts';

/** Collects what goes to one peer during one turn, so that one chunk in is one write out: a write per message costs most of the speed. */
export class Outbox {
  readonly #peer: ByteStream;
  #parts: Buffer[] = [];
  #buffer: Buffer | null = null;
  #start = 0;
  #end = 0;
  #bytes = 0;
  /** What is kept back; null where nothing is. */
  #held: Buffer[] | null = null;
  #heldBytes = 0;
  #maxHeldBytes = 0;

  constructor(peer: ByteStream) {
    this.#peer = peer;
  }

  /** Bytes that were added and not written yet, the run under way left out. */
  get waiting(): number {
    return this.#bytes;
  }

  /** From here on nothing is written until `release` or `discard`. What is more than the limit is dropped, and `overflowed` is true. */
  hold(maxBytes: number): void {
    this.#held = [];
    this.#heldBytes = 0;
    this.#maxHeldBytes = maxBytes;
  }

  get overflowed(): boolean {
    return this.#heldBytes > this.#maxHeldBytes;
  }

  /** What was held goes out with the next flush. Never where it overflowed. */
  release(): void {
    this.#keepBack();
    const held = this.overflowed ? [] : (this.#held ?? []);
    this.discard();
    for (const part of held) this.add(part);
  }

  discard(): void {
    this.#keepBack();
    this.#held = null;
    this.#heldBytes = 0;
  }

  /** Of what is held, all so far goes out; what comes is held. */
  pass(): void {
    if (this.#held === null) return;
    const max = this.#maxHeldBytes;
    this.release();
    this.flush();
    this.hold(max);
  }

  /** Chunks are lent for one turn: what is kept longer is copied. */
  #keepBack(): void {
    if (this.#held === null) return;
    this.#closeRun();
    this.#heldBytes += this.#bytes;
    if (this.overflowed) this.#held = [];
    else for (const part of this.#parts) this.#held.push(Buffer.from(part));
    this.#parts = [];
    this.#bytes = 0;
  }

  /** Adds bytes of a chunk in place; a run of frames that lie side by side leaves as one slice. */
  forward(buffer: Buffer, start: number, end: number): void {
    if (buffer === this.#buffer && start === this.#end) {
      this.#end = end;
      return;
    }
    this.#closeRun();
    // A header that the splitter put together is lent for the call only.
    if (buffer.length <= 8) {
      this.add(Buffer.from(buffer.subarray(start, end)));
      return;
    }
    this.#buffer = buffer;
    this.#start = start;
    this.#end = end;
  }

  add(bytes: Buffer): void {
    this.#closeRun();
    this.#parts.push(bytes);
    this.#bytes += bytes.length;
  }

  /** Writes what was collected. False: the peer is slow, wait for 'drain'. */
  flush(): boolean {
    if (this.#held !== null) {
      this.#keepBack();
      return true;
    }
    this.#closeRun();
    const parts = this.#parts;
    const [first] = parts;
    if (first === undefined) return true;
    this.#parts = [];
    const bytes = this.#bytes;
    this.#bytes = 0;
    if (this.#peer.destroyed) return true;
    if (parts.length === 1) return this.#peer.write(first);
    if (bytes <= 65_536) return this.#peer.write(Buffer.concat(parts, bytes));
    let ready = true;
    for (const part of parts) ready = this.#peer.write(part);
    return ready;
  }

  #closeRun(): void {
    if (this.#buffer === null) return;
    const whole = this.#start === 0 && this.#end === this.#buffer.length;
    this.#parts.push(whole ? this.#buffer : this.#buffer.subarray(this.#start, this.#end));
    this.#bytes += this.#end - this.#start;
    this.#buffer = null;
  }
}
