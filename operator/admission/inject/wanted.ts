import {
  ANNOTATIONS,
  EGRESS_POLICIES,
  type EgressPolicy,
  INJECTION_MODES,
  INJECTION_VALUES,
  type InjectionMode,
  LABELS,
} from '#crds/control/names.ts';
import { type InjectionContext, InjectionError } from './context.ts';
import type { Pod } from './pod.ts';

const POD_SECURITY = 'pod-security.kubernetes.io/enforce';

/** Whether the pod is to have a sidecar. Throws InjectionError. */
export function isWanted(pod: Pod, { name, labels }: InjectionContext['namespace']): boolean {
  const asked = pod.metadata?.annotations?.[ANNOTATIONS.inject];
  if (asked !== undefined && asked !== 'true' && asked !== 'false') {
    throw new InjectionError(`the annotation ${ANNOTATIONS.inject} is "${asked}": write "true" or "false"`);
  }
  const said = labels[LABELS.injection];
  const optedIn = INJECTION_VALUES.some((value) => value === said);
  if (said === 'required' && asked === 'false') {
    throw new InjectionError(`the namespace ${name} has ${LABELS.injection}=required: remove the pod's annotation ${ANNOTATIONS.inject}`);
  }
  return asked === undefined ? optedIn : asked === 'true';
}

/** The strictest of what the operator, the namespace and the pod say. Throws InjectionError where the pod asks for less, or the namespace forbids it. */
export function modeOf(pod: Pod, { namespace, settings }: InjectionContext): InjectionMode {
  const least = stricter(settings.mode, read(INJECTION_MODES, namespace.labels[LABELS.mode], `the namespace's label ${LABELS.mode}`));
  const asked = read(INJECTION_MODES, pod.metadata?.annotations?.[ANNOTATIONS.mode], `the annotation ${ANNOTATIONS.mode}`);
  const mode = stricter(least, asked);
  if (asked !== undefined && mode !== asked) {
    throw new InjectionError(
      `the annotation ${ANNOTATIONS.mode} is ${asked}, but pods of the namespace ${namespace.name} are ${least}: remove the annotation`,
    );
  }
  if (mode === 'Transparent') refuseWhereForbidden(namespace, settings.clusterDns);
  return mode;
}

/** The namespace's, whose labels a pod's author does not write; else the operator's. */
export function egressOf({ namespace, settings }: InjectionContext): EgressPolicy {
  return read(EGRESS_POLICIES, namespace.labels[LABELS.egress], `the namespace's label ${LABELS.egress}`) ?? settings.egress;
}

function refuseWhereForbidden({ name, labels }: InjectionContext['namespace'], clusterDns: readonly string[]): void {
  const level = labels[POD_SECURITY];
  if (level === 'baseline' || level === 'restricted') {
    throw new InjectionError(
      `Transparent mode sets the pod's network rules in an init container that has NET_ADMIN, which the Pod Security level ${level} of the namespace ${name} forbids: ` +
        `use mode Explicit (annotation ${ANNOTATIONS.mode} and label ${LABELS.mode}), or label the namespace ${POD_SECURITY}=privileged and keep ${level} as warn and audit`,
    );
  }
  if (clusterDns.length === 0) {
    throw new InjectionError("Transparent mode needs the addresses of the cluster's resolvers: start the operator with --cluster-dns");
  }
}

function stricter(a: InjectionMode, b: InjectionMode | undefined): InjectionMode {
  return b !== undefined && INJECTION_MODES.indexOf(b) > INJECTION_MODES.indexOf(a) ? b : a;
}

function read<const T extends string>(values: readonly T[], text: string | undefined, what: string): T | undefined {
  if (text === undefined) return undefined;
  const value = values.find((one) => one === text);
  if (value === undefined) throw new InjectionError(`${what} is "${text}": write ${values.join(' or ')}`);
  return value;
}
