/** Waits that grow with each failure, with jitter so that replicas don't ask in step. */
export interface BackoffLimits {
  readonly firstMs: number;
  readonly maxMs: number;
}

/** Between half and the whole of `firstMs` doubled `failures - 1` times; 0 for no failure. `random` is in [0, 1). */
export function backoffMs(failures: number, { firstMs, maxMs }: BackoffLimits, random: () => number = Math.random): number {
  if (failures <= 0) return 0;
  const whole = Math.min(maxMs, firstMs * 2 ** Math.min(failures - 1, 30));
  return Math.round(whole * (0.5 + random() / 2));
}

/** Resolves early where the signal is given. Never rejects. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done, { once: true });
  });
}
