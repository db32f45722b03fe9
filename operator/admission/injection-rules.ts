/** Whether a pod's injected parts are the injector's own, as the validating webhook finds them after all mutation. Pure. */
import { ANNOTATIONS, CONTAINERS, LABELS } from '#crds/control/names.ts';
import { type InjectionContext, InjectionError } from './inject/context.ts';
import { injectedPod } from './inject/inject.ts';
import { hasOwnParts, isOwnContainer, isOwnVolume } from './inject/own-parts.ts';
import type { Container, Pod } from './inject/pod.ts';
import { quantity } from './inject/quantities.ts';
import { sameValue } from './inject/same.ts';
import { isWanted } from './inject/wanted.ts';

const TOKEN_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';
const RESTART = 'another admission webhook, or whoever made the pod, changed it after injection';

/**
 * For a pod at creation: makes the parts again and compares. Which resources are listened for may have changed meanwhile and is not
 * compared, nor what the API server's own admission adds (the default token's mount, amounts of a LimitRange).
 */
export function injectionProblems(pod: Pod, context: InjectionContext): string[] {
  try {
    if (!isWanted(pod, context.namespace)) {
      return hasOwnParts(pod)
        ? [`the pod is not to be injected, but has parts that only Chaperone sets: remove them and the label ${LABELS.injected}`]
        : [];
    }
    return compare(pod, injectedPod(pod, context).injected);
  } catch (error: unknown) {
    if (error instanceof InjectionError) return [error.message];
    throw error;
  }
}

function compare(pod: Pod, made: Pod): string[] {
  const problems: string[] = [];
  const inits = pod.spec?.initContainers ?? [];
  const wanted = (made.spec?.initContainers ?? []).filter(isOwnContainer);
  if (pod.metadata?.labels?.[LABELS.injected] !== 'true') problems.push(`the label ${LABELS.injected} is not there: ${RESTART}`);
  for (const [i, container] of wanted.entries()) {
    const found = inits.filter(({ name }) => name === container.name);
    if (found.length !== 1 || found[0] === undefined) problems.push(`the container ${container.name} is not there: ${RESTART}`);
    else if (!sameContainer(found[0], container)) problems.push(`the container ${container.name} is not as injected: ${RESTART}`);
    else if (inits.filter(isOwnContainer)[i]?.name !== container.name) problems.push(`the containers are not in their order: ${RESTART}`);
  }
  const first = inits.findIndex(({ name }) => name === wanted[0]?.name);
  const before = inits.slice(0, Math.max(0, first)).map(({ name }) => name);
  if (before.length > 0 && wanted[0]?.name === CONTAINERS.rules) {
    problems.push(
      `${before.join(', ')} would start before ${CONTAINERS.rules}, while nothing keeps it in: let the webhook that adds it run before Chaperone's, or exclude this pod from it`,
    );
  }
  const volumes = (of: Pod) => (of.spec?.volumes ?? []).filter(isOwnVolume).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  if (!sameValue(volumes(pod), volumes(made))) problems.push(`the sidecar's volumes are not as injected: ${RESTART}`);
  if (!trustsOnly(pod, made)) problems.push(`the annotation ${ANNOTATIONS.caBundle} is not as injected: ${RESTART}`);
  return [...problems, ...notHardened(pod, made)];
}

/** While the authority changes, the replica that injected may have known one more or one less; none may be anybody else's. */
function trustsOnly(pod: Pod, made: Pod): boolean {
  const certificates = (of: Pod) =>
    (of.metadata?.annotations?.[ANNOTATIONS.caBundle] ?? '')
      .split(/(?<=-----END CERTIFICATE-----)/)
      .map((pem) => pem.trim())
      .filter((pem) => pem !== '');
  const own = certificates(made);
  const found = certificates(pod);
  return found.length > 0 && found.every((pem) => own.includes(pem));
}

function notHardened(pod: Pod, made: Pod): string[] {
  const all = (of: Pod) => [...(of.spec?.initContainers ?? []), ...(of.spec?.containers ?? [])].filter((one) => !isOwnContainer(one));
  const names = all(pod).flatMap((container) => {
    const after = all(made).find(({ name }) => name === container.name);
    return sameValue(container.securityContext, after?.securityContext) ? [] : [container.name];
  });
  return names.length === 0 ? [] : [`${names.join(', ')}: securityContext is not as injected: ${RESTART}`];
}

function sameContainer(found: Container, wanted: Container): boolean {
  return sameValue(comparable(found), comparable(wanted)) && sameResources(found['resources'], wanted['resources']);
}

function comparable(container: Container): unknown {
  const { volumeMounts = [], args, resources: _, ...rest } = container;
  const mounts = volumeMounts.filter(({ mountPath, name }) => !(mountPath === TOKEN_PATH && name.startsWith('kube-api-access-')));
  return { ...rest, volumeMounts: mounts.map(plainMount), args: withoutListens(args) };
}

/** The API server writes this default since 1.30; it means what its absence means. */
function plainMount({ recursiveReadOnly, ...mount }: { readonly recursiveReadOnly?: unknown; readonly [key: string]: unknown }): unknown {
  return recursiveReadOnly === 'Disabled' || recursiveReadOnly === undefined ? mount : { ...mount, recursiveReadOnly };
}

function withoutListens(args: unknown): unknown {
  return Array.isArray(args) ? args.filter((arg, i) => arg !== '--listen' && args[i - 1] !== '--listen') : args;
}

type Amounts = { readonly requests?: Readonly<Record<string, string>>; readonly limits?: Readonly<Record<string, string>> };

function sameResources(found: unknown, wanted: unknown): boolean {
  const [has, asked] = [(found ?? {}) as Amounts, (wanted ?? {}) as Amounts];
  return (['requests', 'limits'] as const).every((kind) =>
    Object.entries(asked[kind] ?? {}).every(([what, amount]) => quantity(String(has[kind]?.[what])) === quantity(amount)),
  );
}
