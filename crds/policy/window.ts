import type { SnapshotWindow } from './snapshot.ts';

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'] as const;
const MINUTE_MS = 60_000;
const DAY_MINUTES = 1440;
const WEEK_MINUTES = 7 * DAY_MINUTES;
/** 1970-01-01 was a Thursday. */
const EPOCH_DAY = 4;

/** Open from `start` up to but not including `end`; one that ends before it starts runs past midnight. No window at all is always open. */
export function compileWindows(windows: readonly SnapshotWindow[]): (nowMs: number) => boolean {
  if (windows.length === 0) return () => true;
  const spans = windows.flatMap(({ days, start, end }) => {
    const [from, to] = [minuteOfDay(start), minuteOfDay(end)];
    const length = to > from ? to - from : to + DAY_MINUTES - from;
    return days.map((day) => ({ from: DAYS.indexOf(day) * DAY_MINUTES + from, length }));
  });
  return (nowMs) => {
    const minute = Math.floor(nowMs / MINUTE_MS) + EPOCH_DAY * DAY_MINUTES;
    return spans.some(({ from, length }) => modulo(minute - from, WEEK_MINUTES) < length);
  };
}

function minuteOfDay(text: string): number {
  return Number(text.slice(0, 2)) * 60 + Number(text.slice(3));
}

function modulo(value: number, by: number): number {
  return ((value % by) + by) % by;
}
