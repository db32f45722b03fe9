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

/** Places for connections, so many for each address. */
export interface Places {
  /** False where the address has all of its. */
  take(address: string): boolean;
  give(address: string): void;
}

export function createPlaces(perAddress: number): Places {
  const taken = new Map<string, number>();
  return {
    take: (address) => {
      const others = taken.get(address) ?? 0;
      if (others >= perAddress) return false;
      taken.set(address, others + 1);
      return true;
    },
    give: (address) => {
      const left = (taken.get(address) ?? 1) - 1;
      if (left > 0) taken.set(address, left);
      else taken.delete(address);
    },
  };
}
