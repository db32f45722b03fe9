import { StartError } from '#sidecar/start/address.ts';
import { usageError } from './exit.ts';

export const DEFAULT_STATE = '.chaperone';
export const DEFAULT_WORKLOAD = 'default/default';

export type Output = 'table' | 'json';

export interface Common {
  readonly output: Output;
}

const UNITS = { s: 1, m: 60, h: 3600, d: 86_400 } as const;

/** `90s`, `15m`, `1h`, `7d` in seconds. Throws a usage error. */
export function seconds(option: string, text: string, maxSeconds: number): number {
  const [, amount, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  const value = amount === undefined ? 0 : Number(amount) * UNITS[unit as keyof typeof UNITS];
  if (value < 1 || value > maxSeconds) throw usageError(`${option} ${text}: write 90s, 15m, 1h or 7d, at most ${maxSeconds} seconds`);
  return value;
}

/** For repeatable options. */
export const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];

/** A StartError of parsing is the person's who typed it. */
export function parsing<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw error instanceof StartError ? usageError(error.message) : error;
  }
}
