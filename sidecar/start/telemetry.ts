import type { LimitName } from '#crds/policy/limits.ts';
import type { Verdict } from '#crds/policy/verdict.ts';
import type { ApprovalView } from '../approvals/view.ts';
import type { EgressVerdict } from '../confine/egress.ts';
import type { PolicyStore, ResourceKey, VerdictLine } from '../pipeline.ts';
import type { PublishResult } from '../policy/store.ts';
import type { Assurances } from '../telemetry/assurances.ts';
import { serveHealth } from '../telemetry/health.ts';
import type { Metrics, Series } from '../telemetry/metrics.ts';
import {
  APPROVALS,
  APPROVALS_PENDING,
  ASSURANCE,
  CONNECTIONS,
  EGRESS,
  LIMITS,
  RELOADS,
  RESIDENT,
  SNAPSHOT,
  UNAUTHENTICATED,
  VERDICTS,
  verdictLabels,
} from '../telemetry/names.ts';
import { StartError } from './address.ts';
import type { Entrances } from './listeners.ts';

export interface Telemetry {
  /** Null where no port was asked for. */
  readonly port: number | null;
  verdict(line: VerdictLine): void;
  approval(view: ApprovalView): void;
  reload(result: PublishResult): void;
  egress(verdict: EgressVerdict): void;
  /** Without a resource: a limit of the process. */
  limit(limit: LimitName, resource?: ResourceKey): void;
  close(): Promise<void>;
}

export interface TelemetryOptions {
  readonly port: number | undefined;
  readonly host?: string | undefined;
  readonly ready: () => boolean;
  readonly approvals: { readonly pending: number };
  readonly listeners: Entrances;
  readonly policy: PolicyStore;
  readonly assurances: Assurances;
}

/** Rejects with StartError where the port can't be had. */
export async function openTelemetry(options: TelemetryOptions, metrics: Metrics): Promise<Telemetry> {
  const { approvals, listeners, policy, assurances, port, host } = options;
  metrics.gauge(APPROVALS_PENDING, () => [{ labels: {}, value: approvals.pending }]);
  metrics.gauge(CONNECTIONS, () => listeners.connections.map(({ key, count }) => ({ labels: { resource: key }, value: count })));
  metrics.gauge(UNAUTHENTICATED, () =>
    listeners.connections.map(({ key, unauthenticated }) => ({ labels: { resource: key }, value: unauthenticated })),
  );
  metrics.gauge(ASSURANCE, () => assurances.open.map(({ resource, level, count }) => ({ labels: { resource, level }, value: count })));
  metrics.gauge(SNAPSHOT, () => [{ labels: { version: policy.version }, value: 1 }]);
  metrics.gauge(RESIDENT, () => [{ labels: {}, value: process.memoryUsage.rss() }]);
  const health = port === undefined ? null : await serveHealth({ port, host, metrics, ready: options.ready }).catch(noPort(port));
  // Policy has one verdict for each rule, and a listener one key for its resource.
  const counted = new WeakMap<Verdict, { readonly resource: ResourceKey; readonly series: Series }>();
  return {
    port: health?.port ?? null,
    verdict: (line) => {
      const known = counted.get(line.verdict);
      const { resource } = line;
      const series = known?.resource === resource ? known.series : metrics.series(VERDICTS, verdictLabels(line));
      if (series === null) return;
      series.value += 1;
      if (known?.series !== series) counted.set(line.verdict, { resource, series });
    },
    approval: (view) => metrics.count(APPROVALS, { namespace: view.resource.namespace, resource: view.resource.name, state: view.state }),
    reload: (result) => metrics.count(RELOADS, { result: result.ok ? 'taken' : result.code }),
    egress: (verdict) => metrics.count(EGRESS, { verdict }),
    limit: (limit, resource) =>
      metrics.count(LIMITS, { limit, resource: resource === undefined ? '' : `${resource.namespace}/${resource.name}` }),
    close: async () => health?.close(),
  };
}

function noPort(port: number) {
  return (error: unknown): never => {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'can not listen';
    throw new StartError(`--metrics-port ${port}: ${code}`);
  };
}
