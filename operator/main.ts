/** The entry of the operator's image: joins the parts, and takes them down again in the opposite order. */
import { admit } from './admit.ts';
import { startApprovalService } from './approvals/start.ts';
import { type Config, ConfigError, readConfig } from './config.ts';
import { createReports, type SliceObject } from './controllers/reports.ts';
import { startControllers } from './controllers/run.ts';
import { startIndex } from './index/start.ts';
import { pause } from './kube/backoff.ts';
import { connect } from './kube/client.ts';
import { createEvents } from './kube/events.ts';
import { startLeader } from './kube/lease.ts';
import { LEASES, SIDECAR_SLICES } from './kube/resources.ts';
import { createSecretWatcher } from './kube/secrets.ts';
import { collection } from './kube/source.ts';
import { startWatch, type WatchState } from './kube/watch.ts';
import { serve } from './serve.ts';
import { alive, ready } from './telemetry/health.ts';
import { createLog, type Log } from './telemetry/log.ts';
import { createMetrics } from './telemetry/metrics.ts';
import { startTelemetry } from './telemetry/server.ts';
import { operatorVersion } from './telemetry/version.ts';

const LEASE = 'chaperone-operator';
/** After it is told to stop it answers on for so long: until then not every node may have heard that its Service has one endpoint less. */
const LEAVE_MS = 5_000;
/** Kubernetes gives thirty seconds. */
const STOP_MS = 20_000;

await run(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`chaperone-operator: ${error instanceof Error ? error.message : 'could not start'}\n`);
  process.exitCode = error instanceof ConfigError ? 2 : 1;
});

async function run(args: readonly string[]): Promise<void> {
  const config = readConfig(args, process.env);
  const { version, commit } = operatorVersion();
  if (config.version) return void process.stdout.write(`${version}${commit === null ? '' : ` (${commit})`}\n`);
  const stop = new Promise<NodeJS.Signals>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, resolve);
  });
  const log = createLog(config.logLevel);
  log.info({ version, commit, replica: config.pod, namespace: config.namespace, cluster: config.clusterName }, 'the operator starts');
  const starting = start(config, version, log);
  const parts = await Promise.race([starting, stop.then(() => null)]);
  // Told to stop while it waits for an API server: nothing is served yet, and the lease runs out by itself.
  if (parts === null) process.exit(0);
  const signal = await stop;
  log.info({ signal }, 'the operator stops');
  // What hangs must not keep us from giving the lease back, nor the pod from ending.
  const late = setTimeout(() => {
    log.error({}, 'not everything stopped in time');
    process.exit(1);
  }, STOP_MS);
  for (const part of parts.reverse()) await part();
  clearTimeout(late);
}

/** Resolves with what takes the parts down, in the order in which they were started. */
async function start(config: Config, version: string, log: Log): Promise<(() => Promise<void>)[]> {
  const { namespace, pod } = config;
  let notReady = (): readonly string[] => ['starting'];
  const kube = connect(config.kubeconfig);
  const events = createEvents({ kube, instance: pod, log });
  const secrets = createSecretWatcher(kube, log);
  const index = startIndex(kube, log);
  const leader = startLeader({
    kube,
    namespace,
    name: LEASE,
    identity: pod,
    log,
    onChange: (leads) => {
      controllers.lookAgain();
      log.info({ leads }, leads ? 'this replica leads: it writes status' : 'this replica does not lead');
      if (leads) events.emit('BecameLeader', { ref: LEASES, namespace, name: LEASE }, `${pod} writes status from now on.`);
    },
  });
  const reports = createReports();
  const controllers = startControllers({ kube, index, secrets, events, log, leads: () => leader.leads, reports: () => reports.current() });
  const slices = startWatch<SliceObject>({
    source: collection(kube, SIDECAR_SLICES, { namespace }),
    onChange: (change) => {
      if (change.type === 'Set') reports.set(change.object);
      else reports.remove(change.object);
      controllers.lookAgain();
    },
    log,
  });
  const leads = () => leader.leads;
  const approvals = startApprovalService({
    kube,
    snapshots: index.snapshots,
    events,
    log,
    now: Date.now,
    isLeader: leads,
    onState: (state) => metrics.observe.approval(state),
  });
  let servingStates = (): readonly WatchState[] => [];
  const watches = () => [...index.states(), ...approvals.controller.states(), slices.state(), ...servingStates(), ...secrets.states()];
  const metrics = createMetrics({
    version,
    watches,
    leads,
    approvalsPending: () => approvals.controller.pending,
    pods: () => [...index.pods.all()].length,
    compiled: () => index.snapshots.compiled,
    proofs: () => index.freshness.proofs,
    queue: () => controllers.queue,
  });
  const telemetry = await startTelemetry({
    port: config.telemetryPort,
    alive: () => alive(watches()),
    ready: () => ready([...index.states(), ...approvals.controller.states()], notReady()),
    metrics: () => metrics.text(),
  });
  const { observe } = metrics;
  const serving = await serve({ config, kube, index, secrets, events, log, leads, observe, handlers: { approvals: approvals.handler } });
  servingStates = () => serving.states();
  const admission = await admit({ config, kube, index, authority: serving.authority, onReview: observe.review, log });
  notReady = () => (admission.caSettled ? [] : ['the CA is not in the webhook configurations yet']);
  log.info({ telemetry: telemetry.port, webhook: admission.port, ...serving.ports }, 'the operator serves');
  return [
    async () => kube.close(),
    () => telemetry.close(),
    () => events.stop(),
    () => index.stop(),
    () => secrets.stop(),
    () => controllers.stop(),
    () => slices.stop(),
    () => leader.stop(),
    () => approvals.stop(),
    () => serving.stop(),
    () => admission.close(),
    async () => {
      notReady = () => ['shutting down'];
      admission.leave();
      if (config.kubeconfig === null) await pause(LEAVE_MS);
    },
  ];
}
