/** Token buckets by key. Which keys are kept is bounded: the longest unused goes, and begins full when it comes again. */
export class RateLimits {
  readonly #perMinute: number;
  readonly #burst: number;
  readonly #clock: () => number;
  readonly #left = new Map<string, { tokens: number; atMs: number }>();

  constructor(perMinute: number, burst: number, clock: () => number) {
    this.#perMinute = perMinute;
    this.#burst = burst;
    this.#clock = clock;
  }

  /** True where `amount` was left; else nothing was taken. */
  take(key: string, amount: number): boolean {
    const nowMs = this.#clock();
    const before = this.#left.get(key) ?? { tokens: this.#burst, atMs: nowMs };
    const tokens = Math.min(this.#burst, before.tokens + (Math.max(0, nowMs - before.atMs) / 60_000) * this.#perMinute);
    const isEnough = tokens >= amount;
    this.#left.delete(key);
    this.#left.set(key, { tokens: isEnough ? tokens - amount : tokens, atMs: nowMs });
    const [oldest] = this.#left.keys();
    if (this.#left.size > MAX_KEYS && oldest !== undefined) this.#left.delete(oldest);
    return isEnough;
  }
}

const MAX_KEYS = 20_000;
