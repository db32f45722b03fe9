/** What one target did in one case, once for each round. */
export interface Measurement {
  /** `prepared, 8 clients` */
  readonly case: string;
  /** `transactions/s` */
  readonly unit: string;
  readonly target: string;
  readonly values: readonly number[];
}

export interface Summary {
  readonly case: string;
  readonly unit: string;
  readonly target: string;
  readonly median: number;
  /** Half of the distance from the least to the most, as part of the median. */
  readonly spread: number;
  /** Median of what each round's value is of that target's in the same round; null where it was not measured. */
  readonly ofDirect: number | null;
  readonly ofHaproxy: number | null;
}

export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [below = Number.NaN, above = Number.NaN] = [sorted[middle - 1], sorted[middle]];
  return sorted.length % 2 === 1 ? above : (below + above) / 2;
}

export function summarise(measurements: readonly Measurement[]): Summary[] {
  const ratioTo = (target: string, of: Measurement) => {
    const base = measurements.find((m) => m.case === of.case && m.unit === of.unit && m.target === target);
    return base === undefined ? null : median(of.values.map((value, round) => value / (base.values[round] ?? Number.NaN)));
  };
  return measurements.map((m) => {
    const value = median(m.values);
    return {
      case: m.case,
      unit: m.unit,
      target: m.target,
      median: value,
      spread: (Math.max(...m.values) - Math.min(...m.values)) / 2 / value,
      ofDirect: ratioTo('direct', m),
      ofHaproxy: ratioTo('haproxy', m),
    };
  });
}

/** A table for each unit: a row for each case, a column for each target, with the ratio to `base` in brackets where there is one. Markdown that reads in a terminal. */
export function tableOf(summaries: readonly Summary[], unit: string, base?: 'direct' | 'haproxy'): string {
  const of = summaries.filter((s) => s.unit === unit);
  const targets = [...new Set(of.map((s) => s.target))];
  const rows = [...Map.groupBy(of, (s) => s.case)].map(([name, found]) => [
    name,
    ...targets.map((target) =>
      cell(
        found.find((s) => s.target === target),
        base,
      ),
    ),
  ]);
  return aligned([[unit, ...targets], ...rows]);
}

function cell(summary: Summary | undefined, base: 'direct' | 'haproxy' | undefined): string {
  if (summary === undefined) return '';
  const ratio = base === 'direct' ? summary.ofDirect : base === 'haproxy' ? summary.ofHaproxy : null;
  const value = summary.median >= 100 ? summary.median.toFixed(0) : summary.median.toPrecision(3);
  return ratio === null ? value : `${value} (${ratio.toFixed(2)})`;
}

function aligned([head = [], ...rows]: readonly (readonly string[])[]): string {
  const widths = head.map((text, i) => Math.max(text.length, ...rows.map((row) => (row[i] ?? '').length)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((text, i) => (i === 0 ? text.padEnd(widths[i] ?? 0) : text.padStart(widths[i] ?? 0))).join(' | ')} |`;
  const rule = `| ${widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`;
  return [line(head), rule, ...rows.map(line)].join('\n');
}
