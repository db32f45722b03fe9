import type { SnapshotLimits } from '#crds/policy/snapshot.ts';

/** How often something was done in the last 60 seconds. */
export class PerMinute {
  #recentMs: number[] = [];

  /** Counts it. False, and not counted, where it would be more than `max`. */
  take(max: number, nowMs: number): boolean {
    this.#recentMs = this.#recentMs.filter((at) => at > nowMs - 60_000);
    if (this.#recentMs.length >= max) return false;
    this.#recentMs.push(nowMs);
    return true;
  }
}

/** What one session has used of its limits. `over` names the limit that is exceeded, or null. The clock is an argument: milliseconds. */
export class LimitMeter {
  #rows = 0;
  #bytes = 0;
  #startedMs: number;
  #lastMs: number;
  readonly #actions = new PerMinute();

  constructor(nowMs: number) {
    this.#startedMs = nowMs;
    this.#lastMs = nowMs;
  }

  /** Counts one action. Returns the limit that it exceeds. */
  action(limits: SnapshotLimits, nowMs: number): string | null {
    this.#lastMs = nowMs;
    if (limits.maxActionsPerMinute === undefined) return null;
    return this.#actions.take(limits.maxActionsPerMinute, nowMs) ? null : 'maxActionsPerMinute';
  }

  returned(rows: number, bytes: number): void {
    this.#rows += rows;
    this.#bytes += bytes;
  }

  touch(nowMs: number): void {
    this.#lastMs = nowMs;
  }

  /** The limit on what was returned that is exceeded. */
  overReturned(limits: SnapshotLimits): string | null {
    if (limits.maxRows !== undefined && this.#rows > limits.maxRows) return 'maxRows';
    if (limits.maxBytes !== undefined && this.#bytes > limits.maxBytes) return 'maxBytes';
    return null;
  }

  /** The limit that the session as a whole exceeds: it then ends. `busy` sessions are not idle. */
  over(limits: SnapshotLimits, nowMs: number, busy: boolean): string | null {
    const returned = this.overReturned(limits);
    if (returned !== null) return returned;
    if (limits.maxDurationSeconds !== undefined && nowMs - this.#startedMs > limits.maxDurationSeconds * 1000) return 'maxDurationSeconds';
    if (!busy && limits.idleTimeoutSeconds !== undefined && nowMs - this.#lastMs > limits.idleTimeoutSeconds * 1000)
      return 'idleTimeoutSeconds';
    return null;
  }
}
