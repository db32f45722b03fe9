/** Prometheus text format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/). Counters and gauges are all that is needed. */
export interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
}

export type Labels = { readonly [label: string]: string };

export interface Series {
  readonly labels: Labels;
  value: number;
}

/** A metric with more series than this drops further ones: labels come from policies, and a policy can be edited for ever. */
const MAX_SERIES = 2000;

export class Metrics {
  readonly #counters = new Map<Metric, Map<string, Series>>();
  readonly #gauges = new Map<Metric, () => readonly { readonly labels: Labels; readonly value: number }[]>();

  count(metric: Metric, labels: Labels = {}, by = 1): void {
    const one = this.series(metric, labels);
    if (one !== null) one.value += by;
  }

  /** For what is counted again and again: the labels are looked up once. Null where there are too many series. */
  series(metric: Metric, labels: Labels): Series | null {
    const all = this.#counters.get(metric) ?? new Map<string, Series>();
    this.#counters.set(metric, all);
    const key = labelText(labels);
    const known = all.get(key);
    if (known !== undefined || all.size >= MAX_SERIES) return known ?? null;
    const made = { labels, value: 0 };
    all.set(key, made);
    return made;
  }

  /** `read` is called at each scrape. */
  gauge(metric: Metric, read: () => readonly { readonly labels: Labels; readonly value: number }[]): void {
    this.#gauges.set(metric, read);
  }

  text(): string {
    const blocks = [
      ...[...this.#counters].map(([metric, series]) => blockOf(metric, [...series.values()])),
      ...[...this.#gauges].map(([metric, read]) => blockOf(metric, read())),
    ];
    return blocks.join('');
  }
}

function blockOf(metric: Metric, series: readonly { readonly labels: Labels; readonly value: number }[]): string {
  const lines = series.map(({ labels, value }) => `${metric.name}${labelText(labels)} ${value}\n`);
  return `# HELP ${metric.name} ${metric.help}\n# TYPE ${metric.name} ${metric.type}\n${lines.join('')}`;
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${value.replace(/[\\"\n]/g, escapeOf)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

const escapeOf = (character: string) => (character === '\n' ? '\\n' : `\\${character}`);
