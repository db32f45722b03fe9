/** Metrics that other parts count in. Labels are of closed lists: what a sidecar says becomes none as it is. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

export interface Observer {
  review(review: { readonly path: string; readonly allowed: boolean; readonly seconds: number }): void;
  readonly records: {
    slotsGiven(count: number): void;
    refused(code: string): void;
    countersigned(): void;
    checked(check: { readonly ready: true } | { readonly ready: false; readonly reason: string }): void;
  };
  approval(state: string): void;
  egress(verdict: string, count: number): void;
}

const PREFIX = 'chaperone_operator_';

export function createObserver(registry: Registry): Observer {
  const registers = [registry];
  const counter = <const L extends string>(name: string, help: string, ...labelNames: L[]) =>
    new Counter({ name: `${PREFIX}${name}`, help, registers, labelNames });
  const reviews = counter('admission_reviews_total', 'Requests that the webhooks judged.', 'path', 'allowed');
  const seconds = new Histogram({
    name: `${PREFIX}admission_review_seconds`,
    help: 'How long a judgement took.',
    registers,
    labelNames: ['path'],
    buckets: [0.005, 0.025, 0.1, 0.5, 1, 4],
  });
  const slots = counter('recording_slots_total', 'Places in the bucket that were given to sidecars.');
  const refusals = counter('recording_refusals_total', 'Recordings and heads that were refused, by code.', 'code');
  const heads = counter('recording_heads_total', 'Heads of ledgers that were countersigned.');
  const bucket = new Gauge({
    name: `${PREFIX}bucket_ready`,
    help: '1 where the last check found that the bucket takes recordings; else 0, with why.',
    registers,
    labelNames: ['reason'],
  });
  const approvals = counter('approvals_total', 'Requests for approval that this replica brought into a state.', 'state');
  const egress = counter('unmonitored_egress_total', 'Connections of transparent pods to what no ProtectedResource names.', 'verdict');
  return {
    review({ path, allowed, seconds: took }) {
      reviews.inc({ path, allowed: String(allowed) });
      seconds.observe({ path }, took);
    },
    records: {
      slotsGiven: (count) => slots.inc(count),
      refused: (code) => refusals.inc({ code }),
      countersigned: () => heads.inc(),
      checked(check) {
        bucket.reset();
        bucket.set({ reason: check.ready ? '' : check.reason }, check.ready ? 1 : 0);
      },
    },
    approval: (state) => approvals.inc({ state }),
    egress: (verdict, count) => egress.inc({ verdict }, count),
  };
}
