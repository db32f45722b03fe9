/** What of a pod is read or written at admission. Everything else is kept as it came. */
export interface Pod {
  readonly metadata?: PodMetadata;
  readonly spec?: PodSpec;
  readonly [key: string]: unknown;
}

export interface PodMetadata {
  readonly name?: string;
  readonly generateName?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly [key: string]: unknown;
}

export interface PodSpec {
  readonly serviceAccountName?: string;
  readonly containers?: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly ephemeralContainers?: readonly Container[];
  readonly volumes?: readonly Volume[];
  readonly hostAliases?: readonly HostAlias[];
  readonly securityContext?: PodSecurityContext;
  readonly hostNetwork?: boolean;
  readonly hostPID?: boolean;
  readonly hostIPC?: boolean;
  readonly shareProcessNamespace?: boolean;
  readonly dnsPolicy?: string;
  readonly runtimeClassName?: string;
  readonly os?: { readonly name?: string };
  readonly nodeSelector?: Readonly<Record<string, string>>;
  readonly [key: string]: unknown;
}

export interface HostAlias {
  readonly ip: string;
  readonly hostnames?: readonly string[];
}

export interface PodSecurityContext {
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
  readonly fsGroup?: number;
  readonly supplementalGroups?: readonly number[];
  readonly sysctls?: readonly { readonly name: string; readonly value: string }[];
  readonly windowsOptions?: unknown;
  readonly [key: string]: unknown;
}

export interface Container {
  readonly name: string;
  readonly image?: string;
  readonly restartPolicy?: string;
  readonly securityContext?: SecurityContext;
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string; readonly [key: string]: unknown }[];
  readonly volumeDevices?: readonly { readonly name: string; readonly [key: string]: unknown }[];
  readonly ports?: readonly { readonly containerPort?: number; readonly [key: string]: unknown }[];
  readonly [key: string]: unknown;
}

export interface SecurityContext {
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
  readonly privileged?: boolean;
  readonly allowPrivilegeEscalation?: boolean;
  readonly procMount?: string;
  readonly capabilities?: { readonly add?: readonly string[]; readonly drop?: readonly string[] };
  readonly windowsOptions?: unknown;
  readonly [key: string]: unknown;
}

export interface Volume {
  readonly name: string;
  readonly hostPath?: { readonly path?: string; readonly [key: string]: unknown };
  readonly projected?: {
    readonly sources?: readonly { readonly serviceAccountToken?: { readonly audience?: string }; readonly [key: string]: unknown }[];
    readonly [key: string]: unknown;
  };
  readonly [key: string]: unknown;
}

/** `SETUID` for `cap_setuid`, as the container runtime reads it. */
export const capabilityName = (text: string): string => text.toUpperCase().replace(/^CAP_/, '');
