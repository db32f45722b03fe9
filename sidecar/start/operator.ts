/** Cluster mode: identity, policy, Secrets and approvals come from an operator. */

import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { PATHS, PORTS } from '#crds/control/names.ts';
import type { ProcessLimits } from '#crds/policy/limits.ts';
import { CAPABILITIES } from '#crds/policy/snapshot.ts';
import { createRemoteApprovals } from '../approvals/remote.ts';
import type { OperatorAddress } from '../control/channel.ts';
import { type Control, startControl } from '../control/control.ts';
import type { Identity } from '../control/enrol.ts';
import type { Log, VerdictLine } from '../pipeline.ts';
import { openKeys } from '../record/keys.ts';
import { type Sidecar, startSidecar } from '../start.ts';
import { type ListenAddress, parseListens, parsePort, StartError } from './address.ts';
import { readLimits } from './limits.ts';
import { POD_OPTIONS, podSettings } from './pod-options.ts';

const OPTIONS = {
  operator: { type: 'string' },
  token: { type: 'string' },
  ca: { type: 'string' },
  state: { type: 'string' },
  listen: { type: 'string', multiple: true },
  'metrics-port': { type: 'string' },
  'ttl-seconds': { type: 'string' },
  limit: { type: 'string', multiple: true },
  ...POD_OPTIONS,
} as const;

export interface OperatorSettings {
  readonly operator: OperatorAddress;
  readonly tokenFile: string;
  readonly caFile: string;
  readonly state: string;
  readonly listen: ReadonlyMap<string, ListenAddress>;
  readonly metricsPort: number | null;
  readonly limits: ProcessLimits;
  /** What only a sidecar in a pod has. */
  readonly pod: ReturnType<typeof podSettings>;
  /** How long a policy holds that no operator has confirmed. */
  readonly ttlMs: number;
}

const TTL_SECONDS = 3600;
const REPORT_MS = 15_000;
/** Columns that keep the assurance of a resource down, of which the operator is told. */
const MAX_REPORTED_REASONS = 5;

/** Throws StartError. */
export function readOperatorSettings(args: readonly string[]): OperatorSettings {
  const values = parsed(args);
  const { operator, state = PATHS.state, token = PATHS.token, 'metrics-port': metrics, 'ttl-seconds': ttl = String(TTL_SECONDS) } = values;
  if (operator === undefined) throw new StartError('--operator is needed');
  if (!/^[1-9]\d{0,6}$/.test(ttl)) throw new StartError('--ttl-seconds: must be a number of seconds');
  return {
    operator: parseOperator(operator),
    tokenFile: token,
    caFile: values.ca ?? PATHS.ca,
    state,
    listen: parseListens(values.listen ?? []),
    metricsPort: metrics === undefined ? null : parsePort('--metrics-port', metrics),
    ttlMs: Number(ttl) * 1000,
    limits: readLimits(values.limit ?? []),
    pod: podSettings(values, Date.now),
  };
}

/** `HOST` or `HOST:ENROLMENT:CONTROL`. Throws StartError. */
export function parseOperator(text: string): OperatorAddress {
  const [host = '', enrolment, control, ...more] = text.split(':');
  // An IP address is no name that a certificate of the operator has.
  const isName = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/.test(host) && !/^[\d.]+$/.test(host);
  if (!isName || more.length > 0 || (enrolment === undefined) !== (control === undefined))
    throw new StartError(`--operator ${text}: write a DNS name, or NAME:PORT:PORT (enrolment, control)`);
  return {
    host,
    enrolmentPort: enrolment === undefined ? PORTS.enrolment : parsePort('--operator', enrolment),
    controlPort: control === undefined ? PORTS.control : parsePort('--operator', control),
  };
}

export interface RunOptions {
  readonly settings: OperatorSettings;
  readonly version: string;
  readonly log: Log;
  readonly onVerdict: (line: VerdictLine) => void;
  readonly stop: Promise<void>;
}

/** Until `stop`. Before the operator has certified this pod nothing listens; rejects with what `startSidecar` rejects with. */
export async function runWithOperator({ settings, version, log, onVerdict, stop }: RunOptions): Promise<void> {
  const { state, listen, metricsPort, ttlMs, pod } = settings;
  const giveUp = new AbortController();
  void stop.then(() => giveUp.abort());
  let sidecar: Sidecar | null = null;
  const onRenewed = ({ recordingCertificates }: Identity) => {
    try {
      sidecar?.certify(recordingCertificates);
    } catch (error: unknown) {
      log.error({ error: error instanceof Error ? error.message : 'unknown' }, 'the new certificate of the recording key was not recorded');
    }
  };
  const control = await enrolled(settings, version, log, onRenewed, giveUp.signal);
  if (control === null) return;
  let reporting: NodeJS.Timeout | undefined;
  try {
    const { namespace, serviceAccount, cluster, recordingCertificates } = control.identity;
    sidecar = await startSidecar({
      state,
      workload: { namespace, serviceAccount },
      workloadProof: 'certificate',
      recording: {
        cluster,
        certificates: recordingCertificates,
        upload: { slots: (request) => control.slots(request), countersign: (request) => control.countersign(request) },
      },
      approvals: (parts) => createRemoteApprovals({ channel: control.approvals, ...parts }),
      limits: settings.limits,
      listen,
      ttlMs,
      ...(metricsPort === null ? {} : { metricsPort }),
      ...pod,
      log,
      onVerdict,
    });
    const running = sidecar;
    control.attach({
      get version() {
        return running.version;
      },
      publish: async (snapshot) => {
        const result = await publish(running, snapshot, log);
        // What came after the pod is told now, and not a quarter of a minute later.
        if (result.ok && result.changed && running.restartRequiredFor.length > 0) void report(control, running, listen);
        return result;
      },
      confirm: (known) => running.confirm(known),
      secrets: (secrets) => running.replaceSecrets(secrets),
    });
    reporting = setInterval(() => void report(control, running, listen), REPORT_MS);
    await stop;
    await sidecar.drain();
  } finally {
    clearInterval(reporting);
    await sidecar?.close();
    control.close();
  }
}

/** Null where it was stopped before. */
async function enrolled(
  settings: OperatorSettings,
  version: string,
  log: Log,
  onRenewed: (identity: Identity) => void,
  signal: AbortSignal,
): Promise<Control | null> {
  const { operator, tokenFile, caFile, state } = settings;
  const keys = openKeys(join(state, 'keys'));
  const recordingKey = keys.publicKeys.get(keys.keyId);
  if (recordingKey === undefined) throw new StartError('there is no key to sign recordings with');
  try {
    const control = await startControl(
      {
        operator,
        tokenFile,
        caFile,
        recordingPublicKey: recordingKey.export({ type: 'spki', format: 'der' }),
        sidecarVersion: version,
        capabilities: CAPABILITIES,
        log,
        now: Date.now,
        onRenewed,
      },
      signal,
    );
    const { namespace, serviceAccount, pod, podUid } = control.identity;
    log.info({ namespace, serviceAccount, pod, podUid }, 'enrolled');
    return control;
  } catch (error: unknown) {
    if (signal.aborted) return null;
    throw error;
  }
}

async function publish(sidecar: Sidecar, snapshot: unknown, log: Log): ReturnType<Sidecar['publishSnapshot']> {
  const result = await sidecar.publishSnapshot(snapshot);
  if (!result.ok) log.error({ code: result.code, problems: result.problems }, 'the snapshot was refused: the last good one stays');
  else {
    for (const problem of result.problems) log.warn({}, problem);
    if (result.changed) log.info({ version: result.version, addresses: Object.fromEntries(sidecar.addresses) }, 'policy in force');
  }
  return result;
}

/** A resource that came after the pod has no address that the agent was given. */
async function report(control: Control, sidecar: Sidecar, listen: ReadonlyMap<string, ListenAddress>): Promise<void> {
  const known = (key: string) => listen.has(key) || listen.has(key.slice(key.indexOf('/') + 1));
  const restartRequiredFor = [...sidecar.restartRequiredFor, ...[...sidecar.addresses.keys()].filter((key) => !known(key))];
  const egress = sidecar.takeEgress().map((one) => ({ ...one, count: BigInt(one.count) }));
  const spoolBytes = BigInt(sidecar.spoolBytes);
  const assurances = [...sidecar.lowestAssurances()].map(([resource, { level, loweredBy }]) => {
    return { resource, level, loweredBy: loweredBy.slice(0, MAX_REPORTED_REASONS) };
  });
  // The next one says the same, but for the egress: of that the metrics have all.
  await control.report({ snapshotVersion: sidecar.version, spoolBytes, restartRequiredFor, egress, assurances }).catch(() => {});
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, strict: true }).values;
  } catch (error) {
    throw new StartError(error instanceof Error ? error.message : 'wrong use');
  }
}
