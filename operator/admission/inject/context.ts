import type { EgressPolicy, InjectionMode } from '#crds/control/names.ts';

/** What the injector knows beside the pod. All of it comes from objects that the pod's author does not write. */
export interface InjectionContext {
  readonly namespace: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
  /** The ProtectedResources in the compiled snapshot of the pod's workload, in any order. */
  readonly resources: readonly InjectedResource[];
  /** PEM of the authorities that the operator's certificate is of. */
  readonly caBundle: string;
  readonly settings: InjectionSettings;
}

export interface InjectedResource {
  readonly namespace: string;
  readonly name: string;
  readonly address: { readonly host: string; readonly port: number };
}

/** From the operator's flags: the same for every pod. */
export interface InjectionSettings {
  /** Has Node, the sidecar and `nft`. */
  readonly image: string;
  readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  /** Host name of the operator's Service, as its certificate has it. */
  readonly operatorHost: string;
  readonly clusterDomain: string;
  /** Addresses of the cluster's resolvers. Transparent mode lets DNS go there and nowhere else. */
  readonly clusterDns: readonly string[];
  /** What a namespace or a pod may only make stricter. */
  readonly mode: InjectionMode;
  /** Where the namespace says none. */
  readonly egress: EgressPolicy;
  readonly resources: SidecarResources;
  /** How long a policy holds that no operator has confirmed. */
  readonly snapshotTtlSeconds: number;
  /** Size of the volume for recordings that are not in the bucket yet. */
  readonly stateSize: string;
}

/** Kubernetes quantities. */
export interface SidecarResources {
  readonly cpuRequest: string;
  readonly cpuLimit: string;
  readonly memoryRequest: string;
  readonly memoryLimit: string;
}

export const DEFAULT_RESOURCES: SidecarResources = { cpuRequest: '50m', cpuLimit: '2', memoryRequest: '128Mi', memoryLimit: '512Mi' };

/** A pod that can't be injected: the message says what to change. */
export class InjectionError extends Error {
  override readonly name = 'InjectionError';
}
