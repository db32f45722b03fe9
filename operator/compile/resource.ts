import { maskingKeys } from '#crds/policy/masking.ts';
import type { Capability, SnapshotGate, SnapshotMasking, SnapshotPolicy, SnapshotResource } from '#crds/policy/snapshot.ts';
import type { ProtectedResource } from '#crds/v1alpha1/kinds.ts';
import { addressesOf, type BrokenObject } from './broken.ts';

export interface Contributions {
  readonly policies: readonly SnapshotPolicy[];
  readonly masking: readonly SnapshotMasking[];
  readonly gates: readonly SnapshotGate[];
  /** `kind/name` of what could not be compiled and must not be missed. */
  readonly unresolved: readonly string[];
}

/**
 * One resource, at the places that the workload has. Where no policy is about the workload it is still named, so that a refusal is understood, with no
 * mask; and where none can ever let it in, no Secret is named, so that its sidecar never has one. `takesTokens`: its sidecar may know an issuer.
 */
export function compileResource(
  { metadata, spec }: ProtectedResource,
  contributions: Contributions,
  { address, aliases }: Pick<SnapshotResource, 'address' | 'aliases'>,
  takesTokens: boolean,
): SnapshotResource {
  const { policies, masking, unresolved } = contributions;
  const needed = policies.some((policy) => mayLetIn(policy, takesTokens && spec.agentToken === 'Accept'));
  const { mode, serverName, caSecretRef } = spec.tls;
  const { results, sampleRows, fsync } = spec.recording;
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    generation: metadata.generation ?? 0,
    requiredCapabilities: [...capabilities(spec, policies, masking), ...unresolved.map((object) => `unresolved/${object}`)].sort(),
    protocol: spec.protocol,
    address: { host: address.host, port: address.port },
    aliases: aliases.map(({ host, port }) => ({ host, port })),
    tls: {
      mode,
      ...(serverName === undefined ? {} : { serverName }),
      ...(caSecretRef === undefined || !needed ? {} : { caSecret: { name: caSecretRef.name, key: caSecretRef.key } }),
    },
    agentToken: spec.agentToken,
    ...protocolPart(spec, needed),
    recording: { results, sampleRows, fsync },
    ...(spec.limits === undefined ? {} : { limits: { ...spec.limits } }),
    policies,
    masking,
    gates: contributions.gates,
  };
}

/** A session is opened by a rule that allows or asks, of a policy that is enforced and that means somebody who can come. */
function mayLetIn({ mode, rules, subjects }: SnapshotPolicy, tokens: boolean): boolean {
  const lets = mode === 'Enforce' && rules.some(({ action }) => action !== 'Deny');
  return lets && subjects.some(({ serviceAccount }) => serviceAccount !== undefined || tokens);
}

/** A target whose spec can't be understood: no sidecar has the capability, so it denies. A name that ends in `.invalid` is never resolved (RFC 6761). */
export function brokenResource(object: BrokenObject): SnapshotResource {
  const [address = { host: 'unreadable.invalid', port: 1 }, ...aliases] = addressesOf(object);
  return {
    namespace: object.namespace,
    name: object.name,
    generation: object.generation,
    requiredCapabilities: [`unresolved/ProtectedResource/${object.name}`],
    protocol: 'PostgreSQL',
    address,
    aliases,
    tls: { mode: 'VerifyFull' },
    agentToken: 'Ignore',
    recording: { results: 'None', sampleRows: 0, fsync: 'Always' },
    policies: [],
    masking: [],
    gates: [],
  };
}

function protocolPart(spec: ProtectedResource['spec'], needed: boolean): Pick<SnapshotResource, 'postgresql' | 'http'> {
  switch (spec.protocol) {
    case 'PostgreSQL': {
      if (spec.postgresql === undefined) return {};
      const { database, users } = spec.postgresql;
      const named = users.map(({ name, secretRef }) => ({
        name,
        secret: secretRef.name,
        usernameKey: secretRef.usernameKey,
        passwordKey: secretRef.passwordKey,
      }));
      return { postgresql: { database, users: needed ? named : [] } };
    }
    case 'HTTP': {
      const credential = spec.http?.credential;
      if (credential === undefined || !needed) return { http: {} };
      const { header, prefix, secretRef } = credential;
      return { http: { credential: { header, prefix, secret: { name: secretRef.name, key: secretRef.key } } } };
    }
    default:
      return spec.protocol satisfies never;
  }
}

function capabilities(
  { protocol, limits: resourceLimits }: ProtectedResource['spec'],
  policies: readonly SnapshotPolicy[],
  masking: readonly SnapshotMasking[],
): readonly Capability[] {
  const rules = policies.flatMap((policy) => policy.rules);
  const asks: readonly (readonly [Capability, boolean])[] = [
    ['postgresql/1', protocol === 'PostgreSQL'],
    ['http/1', protocol === 'HTTP'],
    ['cel/1', rules.some(({ when }) => when !== undefined)],
    ['approval/1', rules.some(({ action }) => action === 'RequireApproval')],
    ['mask-source/1', protocol === 'PostgreSQL' && masking.some(({ columns }) => columns.length > 0)],
    ['mask-token/1', maskingKeys(masking).length > 0],
    ['mask-strict/1', masking.some(({ predicates }) => predicates !== undefined)],
    ['mask-functions/1', masking.some(({ functions }) => functions !== undefined)],
    ['mask-detect/1', masking.some(({ detectors }) => detectors.length > 0)],
    ['resource-limits/1', resourceLimits !== undefined],
    ['limits/1', policies.some(({ limits }) => limits !== undefined)],
    ['effects/1', rules.some(({ sql }) => sql?.effects !== undefined) || policies.some(({ readOnly }) => readOnly === true)],
    ['row-guard/1', rules.some(({ maxAffectedRows, guardsEveryRow }) => maxAffectedRows !== undefined || guardsEveryRow === true)],
    ['assurance/1', policies.some(({ minimumAssurance }) => minimumAssurance !== undefined)],
    ['window/1', policies.some(({ windows }) => windows.length > 0)],
  ];
  return asks.flatMap(([capability, asked]) => (asked ? [capability] : []));
}
