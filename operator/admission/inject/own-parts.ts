import { ANNOTATIONS, CONTAINERS, LABELS, VOLUMES } from '#crds/control/names.ts';
import { isInjectedAddress } from './addresses.ts';
import type { Container, Pod, PodSpec } from './pod.ts';

const CONTAINER_NAMES: readonly string[] = Object.values(CONTAINERS);
const VOLUME_NAMES: readonly string[] = Object.values(VOLUMES);
const WRITTEN: readonly string[] = [ANNOTATIONS.status, ANNOTATIONS.caBundle];

export const isOwnContainer = ({ name }: { readonly name: string }): boolean => CONTAINER_NAMES.includes(name);
export const isOwnVolume = ({ name }: { readonly name: string }): boolean => VOLUME_NAMES.includes(name);

/** Whether anything in the pod claims to be the injector's. Whoever wrote it. */
export function hasOwnParts({ metadata, spec }: Pod): boolean {
  return (
    metadata?.labels?.[LABELS.injected] !== undefined ||
    WRITTEN.some((name) => metadata?.annotations?.[name] !== undefined) ||
    [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])].some(isOwnContainer) ||
    (spec?.volumes ?? []).some(isOwnVolume)
  );
}

/**
 * The pod as it was before injection. What stands where the injector would put something is taken out whoever put it there, so that a pod
 * that was injected before, or was made to look so, gets the same parts as any other.
 */
export function withoutOwnParts(pod: Pod): Pod {
  const { metadata = {}, spec = {} } = pod;
  return {
    ...pod,
    metadata: {
      ...metadata,
      ...(metadata.labels && { labels: without(metadata.labels, [LABELS.injected]) }),
      ...(metadata.annotations && { annotations: without(metadata.annotations, WRITTEN) }),
    },
    spec: {
      ...spec,
      ...(spec.initContainers && { initContainers: spec.initContainers.filter((container) => !isOwnContainer(container)) }),
      ...(spec.volumes && { volumes: spec.volumes.filter((volume) => !isOwnVolume(volume)) }),
      ...(spec.hostAliases && { hostAliases: spec.hostAliases.filter(({ ip }) => !isInjectedAddress(ip)) }),
    },
  };
}

/** The containers of the pod's author: all but those init containers that have the injector's names. */
export function agentContainers(spec: PodSpec | undefined): { readonly field: string; readonly container: Container }[] {
  const listed = (field: string, containers: readonly Container[] = []) =>
    containers.map((container, i) => ({ field: `${field}[${i}] (${container.name})`, container }));
  return [
    ...listed('spec.initContainers', spec?.initContainers).filter(({ container }) => !isOwnContainer(container)),
    ...listed('spec.containers', spec?.containers),
    ...listed('spec.ephemeralContainers', spec?.ephemeralContainers),
  ];
}

function without(map: Readonly<Record<string, string>>, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(Object.entries(map).filter(([name]) => !names.includes(name)));
}
