import { ANNOTATIONS } from '#crds/control/names.ts';
import { InjectionError, type SidecarResources } from './context.ts';
import type { Pod } from './pod.ts';

const SUFFIXES: Readonly<Record<string, number>> = {
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
};

/** What a pod may ask for: under the least the sidecar does not start, over the most it takes the node's. */
const BOUNDS = {
  cpuRequest: ['10m', '4'],
  cpuLimit: ['100m', '8'],
  memoryRequest: ['64Mi', '4Gi'],
  memoryLimit: ['192Mi', '8Gi'],
} as const satisfies Record<keyof SidecarResources, readonly [string, string]>;

/** A Kubernetes quantity in its base unit, or null. */
export function quantity(text: string): number | null {
  const [, digits, suffix] = /^(\d+(?:\.\d+)?)(m|k|M|G|Ki|Mi|Gi)?$/.exec(text) ?? [];
  const factor = SUFFIXES[suffix ?? ''];
  return digits === undefined || factor === undefined ? null : Number(digits) * factor;
}

/** The operator's, or what the pod's annotations ask for within bounds. Throws InjectionError. */
export function resourcesOf(pod: Pod, defaults: SidecarResources): SidecarResources {
  const asked = {
    cpuRequest: bounded(pod, 'cpuRequest') ?? defaults.cpuRequest,
    cpuLimit: bounded(pod, 'cpuLimit') ?? defaults.cpuLimit,
    memoryRequest: bounded(pod, 'memoryRequest') ?? defaults.memoryRequest,
    memoryLimit: bounded(pod, 'memoryLimit') ?? defaults.memoryLimit,
  };
  requireOrder('cpu', asked.cpuRequest, asked.cpuLimit);
  requireOrder('memory', asked.memoryRequest, asked.memoryLimit);
  return asked;
}

function bounded(pod: Pod, which: keyof SidecarResources): string | undefined {
  const annotation = ANNOTATIONS[which];
  const text = pod.metadata?.annotations?.[annotation];
  if (text === undefined) return undefined;
  const [least, most] = BOUNDS[which];
  const value = quantity(text);
  if (value === null || value < (quantity(least) ?? 0) || value > (quantity(most) ?? 0)) {
    throw new InjectionError(`the annotation ${annotation} is "${text}": write a quantity from ${least} to ${most}`);
  }
  return text;
}

function requireOrder(what: string, request: string, limit: string): void {
  if ((quantity(request) ?? 0) > (quantity(limit) ?? 0)) {
    throw new InjectionError(`the sidecar's ${what} request ${request} is above its limit ${limit}: change the annotations of the pod`);
  }
}
