import { ANNOTATIONS, type EgressPolicy, type InjectionMode, LABELS } from '#crds/control/names.ts';
import { creationProblems } from '../pod-rules.ts';
import { addressesFor } from './addresses.ts';
import { injectedContainers, injectedVolumes, type Parts } from './containers.ts';
import { type InjectionContext, InjectionError } from './context.ts';
import { hardened, lowPortProblem, withLowPorts } from './harden.ts';
import { hasOwnParts, isOwnContainer, withoutOwnParts } from './own-parts.ts';
import { type PatchOperation, patchBetween } from './patch.ts';
import type { HostAlias, Pod } from './pod.ts';
import { resourcesOf } from './quantities.ts';
import { egressOf, isWanted, modeOf } from './wanted.ts';

export type Injection =
  | {
      readonly type: 'patch';
      readonly patch: readonly PatchOperation[];
      readonly mode: InjectionMode;
      readonly warnings: readonly string[];
    }
  /** The pod is not to have a sidecar, and claims none. */
  | { readonly type: 'skip' }
  | { readonly type: 'refused'; readonly message: string };

/** The annotation `chaperone.dev/status`: for people and `kubectl describe`. Nothing is decided by it. */
export interface InjectionStatus {
  readonly mode: InjectionMode;
  readonly egress?: EgressPolicy;
  readonly image: string;
  /** Explicit mode: where in the pod each resource is. */
  readonly resources?: Readonly<Record<string, string>>;
  readonly warnings?: readonly string[];
}

/** The mutating webhook's answer. Pure; injecting twice is as injecting once. */
export function inject(pod: Pod, context: InjectionContext): Injection {
  try {
    if (!isWanted(pod, context.namespace)) return notWanted(pod);
    const { injected, mode, warnings } = injectedPod(pod, context);
    return { type: 'patch', patch: patchBetween(pod, injected), mode, warnings };
  } catch (error: unknown) {
    if (error instanceof InjectionError) return { type: 'refused', message: error.message };
    throw error;
  }
}

/** A pod that is not injected may not look as if: guards and enrolment would take it for one. */
function notWanted(pod: Pod): Injection {
  if (!hasOwnParts(pod)) return { type: 'skip' };
  const message = `the pod is not to be injected, but has the label ${LABELS.injected}, or containers, volumes or annotations that only Chaperone sets: remove them, or opt in with the annotation ${ANNOTATIONS.inject}: "true"`;
  return { type: 'refused', message };
}

/** Throws InjectionError. */
export function injectedPod(pod: Pod, context: InjectionContext) {
  const bare = withoutOwnParts(pod);
  const mode = modeOf(bare, context);
  const problems = creationProblems(bare, mode);
  if (problems.length > 0) throw new InjectionError(problems.join('; '));
  const { settings, namespace } = context;
  const explicit = mode === 'Explicit';
  const { listens, hostAliases, warnings } = addressesFor(explicit ? context.resources : [], namespace.name, settings.clusterDomain);
  const parts: Parts = { mode, egress: egressOf(context), settings, resources: resourcesOf(bare, settings.resources), listens };
  const all = [...warnings, ...podWarnings(bare, mode)];
  const { metadata = {}, spec = {} } = bare;
  const lowestPort = Math.min(65_536, ...listens.map(({ port }) => port));
  const lowPort = lowPortProblem(spec.securityContext, lowestPort);
  if (lowPort !== null) throw new InjectionError(lowPort);
  const own = spec.hostAliases ?? [];
  refuseOwnAliases(own, hostAliases);
  const injected: Pod = {
    ...bare,
    metadata: {
      ...metadata,
      labels: { ...metadata.labels, [LABELS.injected]: 'true' },
      annotations: { ...metadata.annotations, [ANNOTATIONS.status]: statusOf(parts, all), [ANNOTATIONS.caBundle]: context.caBundle },
    },
    spec: {
      ...spec,
      initContainers: [...injectedContainers(parts), ...(spec.initContainers ?? []).map(hardened)],
      containers: (spec.containers ?? []).map(hardened),
      volumes: [...(spec.volumes ?? []), ...injectedVolumes(parts)],
      ...(own.length + hostAliases.length > 0 && { hostAliases: [...own, ...hostAliases] }),
      ...(lowestPort < 1024 && { securityContext: withLowPorts(spec.securityContext ?? {}, lowestPort) }),
    },
  };
  return { injected, mode, warnings: all };
}

/** Two addresses for one name: some clients would try the author's, which is around the sidecar. */
function refuseOwnAliases(own: readonly HostAlias[], injected: readonly HostAlias[]): void {
  const ours = new Set(injected.flatMap(({ hostnames = [] }) => hostnames));
  const clash = own.flatMap(({ hostnames = [] }) => hostnames).find((name) => ours.has(name.toLowerCase()));
  if (clash !== undefined) throw new InjectionError(`spec.hostAliases names ${clash}, which is a ProtectedResource: remove that alias`);
}

function podWarnings({ spec }: Pod, mode: InjectionMode): string[] {
  const unknown = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])].filter(
    (container) => !isOwnContainer(container) && (container.securityContext?.runAsUser ?? spec?.securityContext?.runAsUser) === undefined,
  );
  const warnings: string[] = [];
  if (unknown.length > 0) {
    warnings.push(`the user of ${unknown.map(({ name }) => name).join(', ')} is the image's own and not known here: set runAsUser`);
  }
  if (mode === 'Transparent' && spec?.runtimeClassName !== undefined) {
    warnings.push(
      `runtimeClassName ${spec.runtimeClassName}: a runtime whose pods have no nftables of Linux is stopped by the container chaperone-validator`,
    );
  }
  if (mode === 'Transparent' && (spec?.dnsPolicy === 'None' || spec?.dnsPolicy === 'Default')) {
    warnings.push(`dnsPolicy ${spec.dnsPolicy}: only the cluster's resolvers can be reached`);
  }
  return warnings;
}

function statusOf({ mode, egress, settings, listens }: Parts, warnings: readonly string[]): string {
  const status: InjectionStatus = {
    mode,
    ...(mode === 'Transparent' && { egress }),
    image: settings.image,
    ...(mode === 'Explicit' && { resources: Object.fromEntries(listens.map(({ key, host, port }) => [key, `${host}:${port}`])) }),
    ...(warnings.length > 0 && { warnings }),
  };
  return JSON.stringify(status);
}
