/**
 * Status of the four kinds. Level-triggered and dull: whatever happened, what is known now is gathered, judged, and written where it differs from what
 * the object says. Only the leader writes.
 */
import { createHash } from 'node:crypto';
import { canonicalJson } from '#crds/policy/json.ts';
import { KINDS, type Kind, type PolicyStatus } from '#crds/v1alpha1/kinds.ts';
import type { World } from '../compile/compile.ts';
import { conditionsOf } from '../compile/conditions.ts';
import type { Index } from '../index/start.ts';
import type { IndexedObject } from '../index/world.ts';
import type { KubeClient } from '../kube/client.ts';
import { isKubeError } from '../kube/error.ts';
import type { EventRecorder } from '../kube/events.ts';
import { createQueue } from '../kube/queue.ts';
import { ofKind } from '../kube/resources.ts';
import type { SecretWatcher } from '../kube/secrets.ts';
import { accessPolicyFindings } from './access-policy.ts';
import { approvalGateFindings } from './approval-gate.ts';
import { type Condition, conditionsFrom, type Finding } from './conditions.ts';
import type { Judged } from './judge.ts';
import { maskingRuleFindings } from './masking-rule.ts';
import { type Programming, programmingOf, type SidecarReport } from './programming.ts';
import { protectedResourceFindings } from './protected-resource.ts';
import { type SecretOf, secretNeeds } from './secret-needs.ts';

export interface ControllersOptions {
  readonly kube: KubeClient;
  readonly index: Index;
  readonly secrets: SecretWatcher;
  readonly events: EventRecorder;
  readonly leads: () => boolean;
  /** By pod UID, of all replicas. */
  readonly reports: () => ReadonlyMap<string, SidecarReport>;
  readonly log: {
    debug(fields: object, message: string): void;
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
  };
}

export interface Controllers {
  /** Leadership, a slice or anything else has changed that all of them depend on. */
  lookAgain(): void;
  readonly queue: { readonly depth: number; readonly failures: number };
  stop(): Promise<void>;
}

/** A rollout of many sidecars is a few writes, not one for each. */
const GATHER_MS = 200;
/** Nothing should be missed; this is for what should not happen. */
const RESYNC_MS = 5 * 60_000;

export function startControllers(options: ControllersOptions): Controllers {
  const { kube, index, secrets, events, leads, reports, log } = options;
  const watched = new Map<string, ReadonlyMap<string, () => void>>();
  let programming: { readonly world: World; readonly value: Programming } | null = null;
  let gather: NodeJS.Timeout | null = null;

  const queue = createQueue({
    work: async (key) => {
      await reconcile(key);
      return undefined;
    },
    onError: (key, error, failures) => {
      // Somebody wrote the object at the same time: the watch brings it, and we look again.
      if (isKubeError(error, 'Conflict', 'NotFound')) return;
      log.warn({ object: key, failures }, `its status could not be written: ${error instanceof Error ? error.message : 'unknown'}`);
    },
  });

  const lookAgain = () => {
    gather ??= setTimeout(() => {
      gather = null;
      programming = null;
      if (!leads()) return watchSecrets();
      for (const key of index.objects.keys()) queue.add(key);
    }, GATHER_MS);
  };

  /** For all objects the same, so computed once between two changes. */
  const current = (): Programming => {
    const world = index.world();
    if (programming !== null && programming.world === world) return programming.value;
    const value = programmingOf({
      pods: index.pods.all(),
      reports: reports(),
      current: (workload) => index.snapshots.current(workload),
      sourcesOf: (workload, version) => index.snapshots.sourcesOf(workload, version),
    });
    if (world !== null) programming = { world, value };
    return value;
  };

  /** Of a leader: the Secrets that its targets and masking rules name, and no other. Of another replica: none. */
  const watchSecrets = () => {
    const needed = new Map<string, readonly string[]>();
    for (const key of leads() ? index.objects.keys() : []) {
      const object = lookUp(index, key);
      const needs = object?.valid ? secretNeeds(object.object) : [];
      if (needs.length > 0)
        needed.set(
          key,
          needs.map(({ name }) => name),
        );
    }
    for (const key of new Set([...watched.keys(), ...needed.keys()])) setWatched(key, needed.get(key) ?? []);
  };

  const setWatched = (key: string, names: readonly string[]) => {
    const before = watched.get(key) ?? new Map<string, () => void>();
    const [, namespace = ''] = key.split('/');
    const after = new Map(names.map((name) => [name, before.get(name) ?? secrets.watch(namespace, name, () => queue.add(key))] as const));
    for (const [name, end] of before) if (!after.has(name)) end();
    if (after.size === 0) watched.delete(key);
    else watched.set(key, after);
  };

  const reconcile = async (key: string): Promise<void> => {
    const world = index.world();
    const found = lookUp(index, key);
    if (!leads() || world === null) return;
    if (found === undefined) return setWatched(key, []);
    const judged: Judged = found.valid
      ? { valid: true, object: found.object, compiled: conditionsOf(found.object, world).conditions }
      : { valid: false, broken: found.broken };
    const { kind, namespace, name, uid, generation } = identityOf(found);
    setWatched(key, judged.valid ? secretNeeds(judged.object).map((need) => need.name) : []);
    const programmed = current().of({ kind, namespace, name });
    const findings = findingsOf(kind, judged, programmed, (secret) => secrets.current(namespace, secret));
    const before = (found.raw.status ?? {}) as Partial<PolicyStatus>;
    const previous: readonly Condition[] = Array.isArray(before.conditions) ? before.conditions : [];
    const conditions = conditionsFrom(findings, { previous, generation, now: new Date() });
    const isProgrammed = conditions.some(({ type, status }) => type === 'Programmed' && status === 'True');
    const status = {
      observedGeneration: generation,
      conditions,
      ...(hasCounts(kind)
        ? {
            sidecars: `${programmed.enforcing}/${programmed.concerned}`,
            // Of what is enforced: while a new spec is on its way it is the last one's.
            digest: isProgrammed && judged.valid ? digestOf(judged.object.spec) : before.digest,
          }
        : {}),
      ...(kind === 'ProtectedResource' ? assuranceStatus(programmed) : {}),
    };
    if (canonicalJson(status) === canonicalJson(before)) return;
    const { resourceVersion } = found.raw.metadata;
    await kube.patchStatus(
      ofKind(kind),
      { namespace, name },
      { metadata: { resourceVersion }, status: { ...(kind === 'ProtectedResource' ? NO_ASSURANCE : {}), ...status } },
    );
    log.debug({ object: key, generation, ...Object.fromEntries(conditions.map(({ type, status: is }) => [type, is])) }, 'status written');
    for (const finding of findings) {
      const was = previous.find(({ type }) => type === finding.type);
      if (was?.status === finding.status && was.message === finding.message) continue;
      if (finding.status !== 'False') continue;
      const regarding = { ref: ofKind(kind), namespace, name, uid };
      if (finding.type === 'Accepted') events.emit('InvalidSpec', regarding, finding.message);
      if (finding.type === 'ResolvedRefs') events.emit('ReferenceNotFound', regarding, finding.message);
    }
  };

  const ends = [index.onObject((key, policy) => (policy ? lookAgain() : queue.add(key))), index.onPod(lookAgain)];
  const resync = setInterval(lookAgain, RESYNC_MS);
  void index.synced.then(lookAgain);
  return {
    lookAgain,
    queue,
    stop: async () => {
      for (const end of ends) end();
      clearInterval(resync);
      if (gather !== null) clearTimeout(gather);
      for (const key of [...watched.keys()]) setWatched(key, []);
      await queue.stop();
    },
  };
}

function findingsOf(kind: Kind, judged: Judged, programmed: ReturnType<Programming['of']>, secretOf: SecretOf): readonly Finding[] {
  switch (kind) {
    case 'ProtectedResource':
      return protectedResourceFindings(judged, programmed, secretOf);
    case 'AccessPolicy':
      return accessPolicyFindings(judged, programmed);
    case 'MaskingRule':
      return maskingRuleFindings(judged, programmed, secretOf);
    case 'ApprovalGate':
      return approvalGateFindings(judged, programmed);
    default:
      return kind satisfies never;
  }
}

/** What a merge patch takes away is null in it. */
const NO_ASSURANCE = { assurance: null, assuranceLoweredBy: null };

function assuranceStatus({ assurance }: ReturnType<Programming['of']>) {
  if (assurance === null) return {};
  return { assurance: assurance.level, ...(assurance.loweredBy.length === 0 ? {} : { assuranceLoweredBy: assurance.loweredBy }) };
}

function hasCounts(kind: Kind): boolean {
  return kind === 'AccessPolicy' || kind === 'MaskingRule';
}

function lookUp(index: Index, key: string): IndexedObject | undefined {
  const [kind = '', namespace = '', name = ''] = key.split('/');
  return Object.hasOwn(KINDS, kind) ? index.objects.get(kind as Kind, namespace, name) : undefined;
}

function identityOf(found: IndexedObject) {
  if (!found.valid) return found.broken;
  const { kind, metadata } = found.object;
  return { kind, namespace: metadata.namespace, name: metadata.name, uid: metadata.uid, generation: metadata.generation };
}

function digestOf(spec: object): string {
  return `sha256:${createHash('sha256').update(canonicalJson(spec)).digest('hex')}`;
}
