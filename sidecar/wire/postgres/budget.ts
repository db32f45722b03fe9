/**
 * What all connections together may hold of messages that are not yet sent on, in bytes. A limit per message is none for the process:
 * a hundred connections that each hold back the end of a great one would have its memory.
 */
export class ByteBudget {
  readonly #capacity: number;
  #used = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get used(): number {
    return this.#used;
  }

  /** False, and nothing taken, where it would be more than there is. */
  take(bytes: number): boolean {
    if (this.#used + bytes > this.#capacity) return false;
    this.#used += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#used -= bytes;
  }
}

/** A quarter of the memory that the process may have, and at most `mostBytes`. `constrainedBytes` is 0 or beyond all bounds where there is no limit. */
export function messageBudget(constrainedBytes: number, mostBytes: number): ByteBudget {
  return new ByteBudget(constrainedBytes > 0 ? Math.min(mostBytes, Math.floor(constrainedBytes / 4)) : mostBytes);
}
