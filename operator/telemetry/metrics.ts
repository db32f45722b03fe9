/** Prometheus metrics of the operator. What changes by itself is read when it is scraped. */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { WatchState } from '../kube/watch.ts';
import { createObserver, type Observer } from './observe.ts';

export interface MetricsSources {
  readonly version: string;
  readonly watches: () => readonly WatchState[];
  readonly leads: () => boolean;
  /** Injected pods that are known. */
  readonly pods: () => number;
  readonly compiled: () => number;
  readonly proofs: () => { readonly held: number; readonly failed: number };
  /** Requests that wait for people, as this replica knows them. */
  readonly approvalsPending: () => number;
  readonly queue: () => { readonly depth: number; readonly failures: number };
}

/** Metrics that other parts count in. */
export interface Metrics {
  readonly registry: Registry;
  readonly observe: Observer;
  text(): Promise<string>;
}

const PREFIX = 'chaperone_operator_';

export function createMetrics(sources: MetricsSources): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name: `${PREFIX}${name}`,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  const counter = (name: string, help: string, read: () => number) =>
    new Counter({
      name: `${PREFIX}${name}`,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  const ofWatches = (name: string, help: string, value: (states: readonly WatchState[]) => number) =>
    new Gauge({
      name: `${PREFIX}watch_${name}`,
      help,
      registers,
      labelNames: ['resource'],
      collect() {
        this.reset();
        for (const [resource, states] of byResource(sources.watches())) this.set({ resource }, value(states));
      },
    });

  new Gauge({ name: `${PREFIX}info`, help: 'Version of the operator.', registers, labelNames: ['version'] }).set(
    { version: sources.version },
    1,
  );
  gauge('leader', '1 where this replica writes status.', () => (sources.leads() ? 1 : 0));
  gauge('injected_pods', 'Injected pods that are known.', sources.pods);
  gauge('queue_depth', 'Objects whose status waits to be looked at.', () => sources.queue().depth);
  gauge('approvals_pending', 'Requests for approval that wait for people.', sources.approvalsPending);
  counter('reconcile_failures_total', 'Reconciliations that failed and are tried again.', () => sources.queue().failures);
  counter('snapshots_compiled_total', 'Snapshots that were compiled.', sources.compiled);
  const proofs = () =>
    new Counter({
      name: `${PREFIX}freshness_proofs_total`,
      help: 'Comparisons of what this replica knows with what the cluster has.',
      registers,
      labelNames: ['result'],
      collect() {
        this.reset();
        const { held, failed } = sources.proofs();
        this.inc({ result: 'held' }, held);
        this.inc({ result: 'failed' }, failed);
      },
    });
  proofs();
  ofWatches('last_event_age_seconds', 'Since the API server last said anything on the watch; the largest of the resource.', (states) =>
    Math.max(...states.map(({ lastEventAgeMs }) => lastEventAgeMs / 1000)),
  );
  ofWatches('connected', 'Watches that are connected now.', (states) => states.filter(({ connected }) => connected).length);
  ofWatches('synced', 'Watches whose first list is in.', (states) => states.filter(({ synced }) => synced).length);
  ofWatches('objects', 'Objects that are held.', (states) => sum(states, 'objects'));
  ofWatches('restarts', 'Times that a watch had to be started again since the operator did.', (states) => sum(states, 'restarts'));
  ofWatches('handler_errors', 'Changes that were not handled since the operator started.', (states) => sum(states, 'handlerErrors'));
  return { registry, observe: createObserver(registry), text: () => registry.metrics() };
}

/** Names of Secrets are no label: they would be told to whoever may scrape, and there are many. */
function byResource(states: readonly WatchState[]): ReadonlyMap<string, readonly WatchState[]> {
  return Map.groupBy(states, ({ name }) => name.split('/')[0] ?? name);
}

function sum(states: readonly WatchState[], member: 'objects' | 'restarts' | 'handlerErrors'): number {
  return states.reduce((total, state) => total + state[member], 0);
}
