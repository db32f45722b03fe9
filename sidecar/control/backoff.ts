export interface Backoff {
  /** Milliseconds to wait before the next try: doubled each time, and anywhere in its upper half, so that a fleet does not come at once. */
  next(): number;
  reset(): void;
}

export function createBackoff(firstMs: number, longestMs: number, random: () => number = Math.random): Backoff {
  let tries = 0;
  return {
    next() {
      const fullMs = Math.min(longestMs, firstMs * 2 ** Math.min(tries++, 20));
      return fullMs / 2 + (random() * fullMs) / 2;
    },
    reset() {
      tries = 0;
    },
  };
}
