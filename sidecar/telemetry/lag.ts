import { monitorEventLoopDelay } from 'node:perf_hooks';

const RESOLUTION_MS = 20;
const LOOK_MS = 1000;

export interface LagOptions {
  readonly alarmMs: number;
  /** Once for each second in which the loop was held up for longer than `alarmMs`. */
  readonly onLag: (worstMs: number) => void;
}

export interface LagMonitor {
  /** The longest that the event loop was held up in the last second that was looked at. */
  readonly worstMs: number;
  close(): void;
}

/** Looks how long the event loop was busy with one thing: all sessions wait meanwhile. */
export function watchLag({ alarmMs, onLag }: LagOptions): LagMonitor {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  histogram.enable();
  let worstMs = 0;
  const timer = setInterval(() => {
    worstMs = Math.max(0, histogram.max / 1e6 - RESOLUTION_MS);
    histogram.reset();
    if (worstMs > alarmMs) onLag(worstMs);
  }, LOOK_MS);
  timer.unref();
  return {
    get worstMs() {
      return worstMs;
    },
    close() {
      clearInterval(timer);
      histogram.disable();
    },
  };
}
