/** What this session said by NOTIFY and has not heard yet. Bounded: the oldest are forgotten, and then are not passed on. */
export class Notified {
  readonly #counts = new Map<string, number>();

  add(channel: string, payload: string): void {
    const key = keyOf(channel, payload);
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    for (const oldest of this.#counts.keys()) {
      if (this.#counts.size <= MAX_NOTIFIED) return;
      this.#counts.delete(oldest);
    }
  }

  /** True once for each time that it was said. */
  take(channel: string, payload: string): boolean {
    const key = keyOf(channel, payload);
    const count = this.#counts.get(key) ?? 0;
    if (count > 1) this.#counts.set(key, count - 1);
    else this.#counts.delete(key);
    return count > 0;
  }
}

const MAX_NOTIFIED = 256;

const keyOf = (channel: string, payload: string): string => `${channel}\0${payload}`;
