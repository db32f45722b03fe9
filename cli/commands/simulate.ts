import type { Action } from '#crds/policy/action.ts';
import type { Assurance } from '#crds/policy/assurance.ts';
import type { ResourcePolicy, TraceEntry } from '#crds/policy/engine.ts';
import { loadSnapshot } from '#crds/policy/load.ts';
import type { MaskPolicy } from '#crds/policy/mask.ts';
import type { Principal } from '#crds/policy/principal.ts';
import { CAPABILITIES, type SnapshotResource } from '#crds/policy/snapshot.ts';
import type { Verdict } from '#crds/policy/verdict.ts';
import { LOCAL_ISSUER } from '#sidecar/identity/issuers.ts';
import { listenerPrincipal } from '#sidecar/identity/workload.ts';
import { parseWorkload } from '#sidecar/start/address.ts';
import { normalisePath } from '#sidecar/wire/http/target.ts';
import { CliError, EXIT, usageError } from '../exit.ts';
import { problemText } from '../folder/objects.ts';
import { loadFolder } from '../folder/source.ts';
import type { Io } from '../io.ts';
import { type Common, parsing } from '../options.ts';
import { type Refused, sqlAction } from './simulate-sql.ts';
import { simulationText } from './simulate-text.ts';

export interface SimulateOptions extends Common {
  readonly manifests: string;
  readonly resource: string;
  readonly workload: string;
  readonly as?: string;
  readonly group: readonly string[];
  readonly claim: readonly string[];
  readonly issuer: string;
  readonly sql?: string;
  readonly schema: string;
  readonly method?: string;
  readonly host?: string;
  readonly path?: string;
  readonly at?: string;
  readonly assurance?: Assurance;
}

export interface Simulation {
  readonly resource: string;
  readonly principals: readonly Principal[];
  readonly action: Action;
  readonly verdict: Verdict;
  /** What Chaperone itself would refuse, whatever policy says. */
  readonly refusal: Refused | null;
  readonly trace: readonly TraceEntry[];
  /** Column masks and detectors that apply to these principals. */
  readonly masks: readonly string[];
  readonly notes: readonly string[];
}

const TAKEN_TO_BE_MET =
  'minimumAssurance is taken to be met: chaperone doctor tells the level of the target, and --assurance judges by another';
const CODES = { Allow: EXIT.ok, Deny: EXIT.denied, Hold: EXIT.held } as const;

/** Judges one action as the sidecar would, and tells why. 0 allowed, 3 denied, 4 held. */
export async function simulate(options: SimulateOptions, io: Io): Promise<number> {
  const policy = policyOf(options);
  const principals = principalsOf(options);
  const { action, refusal, notes } = await actionOf(options, policy, principals);
  const trace: TraceEntry[] = [];
  const { assurance: level = 'A' } = options;
  const assurance = { level, loweredBy: level === 'A' ? [] : [`--assurance ${level}`] };
  const verdict = policy.judge({ principals, action, nowMs: timeOf(options, io), assurance }, (entry) => trace.push(entry));
  const asks = policy.resource.policies.some(({ minimumAssurance }) => minimumAssurance !== undefined);

  const { namespace, name } = policy.resource;
  const masks = masksOf(policy, principals);
  const simulation: Simulation = {
    resource: `${namespace}/${name}`,
    principals,
    action,
    verdict,
    refusal,
    trace,
    masks,
    notes: asks && options.assurance === undefined ? [...notes, TAKEN_TO_BE_MET] : notes,
  };
  io.stdout.write(options.output === 'json' ? `${JSON.stringify(simulation)}\n` : simulationText(simulation, io.color.stdout));
  return refusal === null ? CODES[verdict.decision] : EXIT.denied;
}

function policyOf(options: SimulateOptions): ResourcePolicy {
  const workload = parsing(() => parseWorkload(options.workload));
  const read = loadFolder({ manifests: options.manifests, workload });
  if (!read.ok) throw new CliError(read.problems.map(problemText).join('\n'));
  const loaded = loadSnapshot(read.state.snapshot, CAPABILITIES);
  if (!loaded.ok) throw new CliError(loaded.problems.map(({ message }) => message).join('\n'));
  const found = loaded.policies.all.filter(({ resource: { namespace, name } }) =>
    [name, `${namespace}/${name}`].includes(options.resource),
  );
  if (found.length > 1) throw usageError(`--resource ${options.resource}: there are several; write NAMESPACE/NAME`);
  const [policy] = found;
  if (policy === undefined) throw usageError(`--resource ${options.resource}: there is no such ProtectedResource`);
  return policy;
}

/** The workload of the listener, then the token. */
function principalsOf(options: SimulateOptions): Principal[] {
  const workload = listenerPrincipal(parsing(() => parseWorkload(options.workload)));
  if (options.as === undefined) {
    if (options.group.length > 0 || options.claim.length > 0) throw usageError('--group and --claim belong to --as SUBJECT');
    return [workload];
  }
  const claims = Object.fromEntries(options.claim.map(claimOf));
  const subject = options.as;
  return [
    workload,
    {
      kind: 'User',
      issuer: options.issuer || LOCAL_ISSUER,
      subject,
      groups: options.group,
      claims: { ...claims, sub: subject },
      proof: 'token',
    },
  ];
}

function claimOf(text: string): [string, string] {
  const at = text.indexOf('=');
  if (at < 1) throw usageError(`--claim ${text}: write NAME=VALUE`);
  return [text.slice(0, at), text.slice(at + 1)];
}

async function actionOf(options: SimulateOptions, policy: ResourcePolicy, principals: readonly Principal[]) {
  const { resource } = policy;
  switch (resource.protocol) {
    case 'PostgreSQL':
      if (options.sql === undefined) throw usageError('--sql TEXT is needed for a PostgreSQL resource');
      return sqlAction(options.sql, options.schema, resource, policy.masking(principals));
    case 'HTTP':
      return httpAction(options, resource);
    default:
      throw resource.protocol satisfies never;
  }
}

function httpAction(options: SimulateOptions, resource: SnapshotResource) {
  if (options.path === undefined) throw usageError('--path PATH is needed for an HTTP resource');
  const [path = '', query = ''] = options.path.split(/\?(.*)/s);
  const action: Action = {
    type: 'http',
    method: (options.method ?? 'GET').toUpperCase(),
    host: (options.host ?? resource.address.host).toLowerCase(),
    path: normalised(path),
    query,
  };
  return { action, refusal: null, notes: [] };
}

function normalised(path: string): string {
  try {
    return normalisePath(path);
  } catch (error) {
    throw usageError(`--path ${path}: ${error instanceof Error ? error.message : 'is no path'}`);
  }
}

function masksOf(policy: ResourcePolicy, principals: readonly Principal[]): string[] {
  const masking = policy.masking(principals);
  const columns = policy.resource.masking.flatMap(({ namespace, name, columns: own }) =>
    own
      .filter(({ column }) => !isExempt(masking, column))
      .map(({ column, strategy }) => `${column}: ${strategy.type} (${namespace}/${name})`),
  );
  const detectors = masking.detectors.map(({ name, type, author }) => `detector ${name} (${type}): ${author.namespace}/${author.name}`);
  return masking.active ? [...columns, ...detectors] : [];
}

/** Known for a plain name; a glob is told as it stands. */
function isExempt(masking: MaskPolicy, column: string): boolean {
  const [schema, relation, name, more] = column.split('.');
  if (schema === undefined || relation === undefined || name === undefined || more !== undefined || column.includes('*')) return false;
  return masking.column(schema, relation, name) === null;
}

function timeOf(options: SimulateOptions, io: Io): number {
  if (options.at === undefined) return io.now();
  const at = Date.parse(options.at);
  if (Number.isNaN(at)) throw usageError(`--at ${options.at}: write a time as RFC 3339, 2026-11-21T22:00:00Z`);
  return at;
}
