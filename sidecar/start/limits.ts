import { DEFAULT_PROCESS_LIMITS, PROCESS_LIMITS, type ProcessLimitName, type ProcessLimits } from '#crds/policy/limits.ts';
import { slow } from '../mask/slow.ts';
import type { Log } from '../pipeline.ts';
import { watchLag } from '../telemetry/lag.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { BUFFERED, LAG } from '../telemetry/names.ts';
import type { ByteBudget } from '../wire/postgres/budget.ts';
import { parseLimits } from '../wire/postgres/sql/parse-limits.ts';
import { StartError } from './address.ts';

/** A flood of slow work must not become one of log lines. */
const TELL_AGAIN_MS = 10_000;

/** `NAME=VALUE` each; the defaults for the others. Throws StartError. */
export function readLimits(texts: readonly string[]): ProcessLimits {
  const given: { [name in ProcessLimitName]?: number } = {};
  for (const text of texts) {
    const [, name = '', value = ''] = /^(\w+)=(\d{1,12})$/.exec(text) ?? [];
    if (!isName(name))
      throw new StartError(`--limit ${text}: write NAME=NUMBER, where NAME is one of ${Object.keys(PROCESS_LIMITS).join(', ')}`);
    const { minimum, maximum, unit } = PROCESS_LIMITS[name];
    const number = Number(value);
    if (number < minimum || number > maximum) throw new StartError(`--limit ${text}: must be ${minimum} to ${maximum} ${unit}`);
    if (given[name] !== undefined) throw new StartError(`--limit ${name} is there twice`);
    given[name] = number;
  }
  return { ...DEFAULT_PROCESS_LIMITS, ...given };
}

const isName = (name: string): name is ProcessLimitName => Object.hasOwn(PROCESS_LIMITS, name);

export interface ProcessParts {
  readonly limits: ProcessLimits;
  readonly log: Log;
  readonly now: () => number;
  readonly budget: ByteBudget;
  readonly metrics: Metrics;
  readonly onLimit: (limit: ProcessLimitName) => void;
}

/** Sets what the whole process shares, and watches what can't be stopped before it happens. */
export function watchProcess({ limits, log, now, budget, metrics, onLimit }: ProcessParts): { close(): void } {
  parseLimits.maxBytes = limits.maxStatementBytes;
  parseLimits.maxDepth = limits.maxStatementDepth;
  slow.parseMs = limits.slowParseMs;
  slow.detectorMs = limits.slowDetectorMs;
  const told = new Map<ProcessLimitName, number>();
  const onSlow = (limit: ProcessLimitName, tookMs: number) => {
    onLimit(limit);
    if (now() - (told.get(limit) ?? Number.NEGATIVE_INFINITY) < TELL_AGAIN_MS) return;
    told.set(limit, now());
    log.warn({ limit, tookMs: Math.round(tookMs) }, 'something took longer than its limit: all sessions waited');
  };
  slow.onParse = (ms) => onSlow('slowParseMs', ms);
  slow.onDetector = (ms) => onSlow('slowDetectorMs', ms);
  const lag = watchLag({ alarmMs: limits.eventLoopLagMs, onLag: (ms) => onSlow('eventLoopLagMs', ms) });
  metrics.gauge(BUFFERED, () => [{ labels: {}, value: budget.used }]);
  metrics.gauge(LAG, () => [{ labels: {}, value: lag.worstMs / 1000 }]);
  return lag;
}
