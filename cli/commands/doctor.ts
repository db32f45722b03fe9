import { isBelow, lowestOf } from '#crds/policy/assurance.ts';
import { dottedParts } from '#crds/policy/glob.ts';
import type { MaskPolicy } from '#crds/policy/mask.ts';
import { compileMasking as compileMasks } from '#crds/policy/masking.ts';
import type { SnapshotResource } from '#crds/policy/snapshot.ts';
import type { AccessPolicy, ProtectedResource } from '#crds/v1alpha1/kinds.ts';
import type { CompileObject } from '#operator/compile/compile.ts';
import { compileMasking } from '#operator/compile/parts.ts';
import { inWords, nameOf } from '#sidecar/mask/postgres/assurance.ts';
import { type Inspected, inspectTarget } from '#sidecar/start/inspect.ts';
import { createLog } from '#sidecar/telemetry/log.ts';
import { createCredentialStore } from '#sidecar/upstream/credentials/store.ts';
import { readGrants } from '../doctor/grants.ts';
import { type Remedy, remedyFor } from '../doctor/remedy.ts';
import { doctorText } from '../doctor/text.ts';
import { CliError, EXIT, usageError } from '../exit.ts';
import { problemText } from '../folder/objects.ts';
import { loadFolder } from '../folder/source.ts';
import type { Io } from '../io.ts';
import type { Common } from '../options.ts';

export interface DoctorOptions extends Common {
  readonly manifests: string;
  readonly secrets?: string;
  readonly user?: string;
  readonly check?: boolean;
}

/** Of one requested user. */
export interface Diagnosis {
  readonly user: string;
  /** The role that the sidecar logs in as. */
  readonly role: string;
  readonly serverVersion: string;
  readonly level: string;
  readonly columns: readonly { readonly column: string; readonly level: string; readonly why: readonly string[] }[];
  /** Why it is not A, where no column says it. */
  readonly loweredBy: readonly string[];
  /** Entries of MaskingRules that no column of the database matches. */
  readonly unmatched: readonly string[];
  readonly remedy: Remedy;
}

export interface Examination {
  readonly resource: string;
  readonly users: readonly Diagnosis[];
  /** The highest that an AccessPolicy of the target asks for. */
  readonly minimumAssurance: string | null;
}

const ANYBODY = { namespace: 'default', serviceAccount: 'default' };

/** Logs in as the sidecar would, for every user that the resource maps, with every mask and nobody exempt. 1 with `--check` where one is below A. */
export async function doctor(name: string, options: DoctorOptions, io: Io): Promise<number> {
  const read = loadFolder({
    manifests: options.manifests,
    workload: ANYBODY,
    ...(options.secrets !== undefined && { secrets: options.secrets }),
  });
  if (!read.ok) throw new CliError(read.problems.map(problemText).join('\n'));
  const { objects, secrets } = read.state;
  const object = theResource(name, objects);
  const resource = snapshotOf(object, objects);
  const log = createLog({ stream: io.stderr, format: options.output === 'json' ? 'json' : 'pretty', color: io.color.stderr });
  const mask = compileMasks(resource.masking)([]);
  const users = (resource.postgresql?.users ?? []).filter((user) => options.user === undefined || user.name === options.user);
  if (users.length === 0) throw usageError(`--user ${options.user}: the ProtectedResource maps no such user`);
  const found: Diagnosis[] = [];
  for (const user of users) {
    const one = { resource, user, credentials: createCredentialStore(secrets), mask, log, now: io.now };
    found.push(await inspectTarget(one, (inspected) => diagnose(user.name, resource, mask, inspected)));
  }
  const minimums = policiesOf(object, objects).flatMap(({ spec }) => (spec.minimumAssurance === undefined ? [] : [spec.minimumAssurance]));
  const minimumAssurance = minimums.includes('A') ? 'A' : minimums.includes('B') ? 'B' : lowestOf(minimums);
  const examination: Examination = { resource: `${resource.namespace}/${resource.name}`, users: found, minimumAssurance };
  io.stdout.write(options.output === 'json' ? `${JSON.stringify(examination, null, 2)}\n` : doctorText(examination, io.color.stdout));
  return options.check === true && found.some(({ level }) => level !== 'A') ? EXIT.failed : EXIT.ok;
}

async function diagnose(
  user: string,
  resource: SnapshotResource,
  mask: MaskPolicy,
  { catalog, assurance, serverVersion, query }: Inspected,
): Promise<Diagnosis> {
  const { columns, level } = assurance;
  const entries = resource.masking.flatMap((rule) => rule.columns.map(({ column }) => ({ rule: rule.name, column })));
  const unmatched = entries.filter(({ column }) => {
    const parts = dottedParts(column, 3);
    return !columns.some((one) => parts?.[0]?.(one.relation.schema) && parts[1]?.(one.relation.name) && parts[2]?.(one.column.name));
  });
  return {
    user,
    role: catalog.access.session,
    serverVersion,
    level: mask.active ? level : 'None',
    columns: columns.map((one) => ({
      column: `${nameOf(one.relation)}.${one.column.name}`,
      level: one.level,
      why: [...new Set(one.ways.map((way) => inWords(way, catalog)))],
    })),
    loweredBy: columns.length > 0 ? [] : mask.active ? assurance.loweredBy : ['no MaskingRule is about the target'],
    unmatched: unmatched.map(({ rule, column }) => `${column} (MaskingRule ${rule})`),
    remedy: isBelow(level, 'A') ? remedyFor(catalog, assurance, await readGrants(query)) : { sql: [], notes: [], separateRole: null },
  };
}

function theResource(name: string, objects: readonly CompileObject[]): ProtectedResource & CompileObject {
  const found = objects.filter(
    (object): object is ProtectedResource & CompileObject =>
      object.kind === 'ProtectedResource' && [object.metadata.name, `${object.metadata.namespace}/${object.metadata.name}`].includes(name),
  );
  const [one, other] = found;
  if (one === undefined) throw usageError(`${name}: there is no such ProtectedResource`);
  if (other !== undefined) throw usageError(`${name}: there are several; write NAMESPACE/NAME`);
  if (one.spec.protocol !== 'PostgreSQL')
    throw usageError(`${name}: it speaks ${one.spec.protocol}; only columns of PostgreSQL have a level`);
  return one;
}

function policiesOf({ metadata }: ProtectedResource, objects: readonly CompileObject[]): readonly AccessPolicy[] {
  return objects.filter(
    (object): object is AccessPolicy & CompileObject =>
      object.kind === 'AccessPolicy' &&
      object.metadata.namespace === metadata.namespace &&
      object.spec.targetRefs.some((ref) => ref.name === metadata.name) &&
      object.spec.mode === 'Enforce',
  );
}

/** The resource with all masks that are about it, whoever they exempt, and no policy: none is asked. */
function snapshotOf({ metadata, spec }: ProtectedResource & CompileObject, objects: readonly CompileObject[]): SnapshotResource {
  const masking = objects.flatMap((object) => {
    if (object.kind !== 'MaskingRule' || object.metadata.namespace !== metadata.namespace) return [];
    if (!object.spec.targetRefs.some((ref) => ref.name === metadata.name)) return [];
    const { value, problems } = compileMasking(object, spec.protocol, ANYBODY);
    if (value === null || problems.length > 0) throw new CliError(`MaskingRule ${object.metadata.name}: ${problems.join('; ')}`);
    return [value];
  });
  const { mode, serverName, caSecretRef } = spec.tls;
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    generation: 0,
    requiredCapabilities: [],
    protocol: spec.protocol,
    address: { host: spec.address.host, port: spec.address.port },
    aliases: [],
    tls: {
      mode,
      ...(serverName === undefined ? {} : { serverName }),
      ...(caSecretRef === undefined ? {} : { caSecret: { name: caSecretRef.name, key: caSecretRef.key } }),
    },
    agentToken: spec.agentToken,
    postgresql: {
      database: spec.postgresql?.database ?? '',
      users: (spec.postgresql?.users ?? []).map(({ name, secretRef: { name: secret, usernameKey, passwordKey } }) => ({
        name,
        secret,
        usernameKey,
        passwordKey,
      })),
    },
    recording: { results: 'None', sampleRows: 0, fsync: 'Never' },
    policies: [],
    masking,
    gates: [],
  };
}
