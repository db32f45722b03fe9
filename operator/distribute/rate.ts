export interface RateLimit {
  readonly perSecond: number;
  readonly burst: number;
}

const MAX_KEYS = 10_000;

/** A bucket of calls for each key; `take` says whether one more may go. */
export function createRateLimiter({ perSecond, burst }: RateLimit, now: () => number): { take(key: string): boolean } {
  const buckets = new Map<string, { left: number; at: number }>();
  return {
    take(key) {
      const at = now();
      const bucket = buckets.get(key) ?? { left: burst, at };
      bucket.left = Math.min(burst, bucket.left + ((at - bucket.at) / 1000) * perSecond);
      bucket.at = at;
      // Newest last; the oldest go, and would be full again anyway.
      buckets.delete(key);
      buckets.set(key, bucket);
      for (const old of buckets.keys()) {
        if (buckets.size <= MAX_KEYS) break;
        buckets.delete(old);
      }
      if (bucket.left < 1) return false;
      bucket.left -= 1;
      return true;
    },
  };
}
