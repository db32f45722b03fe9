/** A work queue of keys: one worker a key, a key that is added while it is worked on runs once more, a failure comes back later and later. */
import { type BackoffLimits, backoffMs } from './backoff.ts';

export interface WorkQueue {
  /** Soon, once, however often it is said. */
  add(key: string): void;
  addAfter(key: string, ms: number): void;
  /** Waiting now, without those that wait for their time. */
  readonly depth: number;
  readonly failures: number;
  /** No new work; resolves when what runs is done. */
  stop(): Promise<void>;
}

export interface QueueOptions {
  /** Resolves with a time after which to look again, or nothing. What it throws is told and tried again. */
  readonly work: (key: string) => Promise<{ readonly againMs: number } | undefined>;
  readonly onError: (key: string, error: unknown, failures: number) => void;
  /** Keys worked on at the same time. */
  readonly workers?: number;
  readonly backoff?: BackoffLimits;
}

const BACKOFF: BackoffLimits = { firstMs: 250, maxMs: 60_000 };

export function createQueue({ work, onError, workers = 4, backoff = BACKOFF }: QueueOptions): WorkQueue {
  const waiting = new Set<string>();
  const active = new Map<string, Promise<void>>();
  const timers = new Map<string, { readonly at: number; readonly timer: NodeJS.Timeout }>();
  const failed = new Map<string, number>();
  let failures = 0;
  let stopped = false;

  const start = () => {
    for (const key of waiting) {
      if (stopped || active.size >= workers) return;
      if (active.has(key)) continue;
      waiting.delete(key);
      // On the next turn, so that a burst of changes is one piece of work.
      active.set(
        key,
        Promise.resolve().then(() => run(key)),
      );
    }
  };

  const run = async (key: string): Promise<void> => {
    try {
      const after = await work(key);
      failed.delete(key);
      if (after !== undefined) addAfter(key, after.againMs);
    } catch (error: unknown) {
      const count = (failed.get(key) ?? 0) + 1;
      failed.set(key, count);
      failures++;
      addAfter(key, backoffMs(count, backoff));
      onError(key, error, count);
    } finally {
      active.delete(key);
      start();
    }
  };

  const add = (key: string) => {
    if (stopped) return;
    waiting.add(key);
    start();
  };

  /** The earliest of two times counts. */
  const addAfter = (key: string, ms: number) => {
    const at = performance.now() + ms;
    const planned = timers.get(key);
    if (stopped || (planned !== undefined && planned.at <= at)) return;
    clearTimeout(planned?.timer);
    const timer = setTimeout(() => {
      timers.delete(key);
      add(key);
    }, ms);
    timers.set(key, { at, timer });
  };

  return {
    add,
    addAfter,
    get depth() {
      return waiting.size;
    },
    get failures() {
      return failures;
    },
    stop: async () => {
      stopped = true;
      waiting.clear();
      for (const { timer } of timers.values()) clearTimeout(timer);
      timers.clear();
      await Promise.all(active.values());
    },
  };
}
