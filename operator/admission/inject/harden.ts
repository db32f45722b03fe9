import { type Container, capabilityName, type PodSecurityContext } from './pod.ts';

/** With these a container could become the sidecar's user, or make packets that no rule sees as its own. */
const DROPPED = ['NET_RAW', 'SETGID', 'SETUID'];
const UNPRIVILEGED_PORTS = 'net.ipv4.ip_unprivileged_port_start';

/** A container of the agent, with less than it came with and nothing more. */
export function hardened(container: Container): Container {
  const { securityContext = {} } = container;
  const drop = securityContext.capabilities?.drop ?? [];
  const dropped = new Set(drop.map(capabilityName));
  const missing = dropped.has('ALL') ? [] : DROPPED.filter((name) => !dropped.has(name));
  return {
    ...container,
    securityContext: {
      ...securityContext,
      allowPrivilegeEscalation: false,
      ...(missing.length > 0 && { capabilities: { ...securityContext.capabilities, drop: [...drop, ...missing] } }),
    },
  };
}

/** The sidecar is not root and must listen on the target's own port. The sysctl is the pod's alone, and Pod Security `restricted` allows it. */
export function withLowPorts(context: PodSecurityContext, lowestPort: number): PodSecurityContext {
  const sysctls = context.sysctls ?? [];
  if (lowestPort >= 1024 || sysctls.some(({ name }) => name === UNPRIVILEGED_PORTS)) return context;
  return { ...context, sysctls: [...sysctls, { name: UNPRIVILEGED_PORTS, value: '0' }] };
}

/** Why the sidecar could not listen on the port; null where it can. */
export function lowPortProblem(context: PodSecurityContext | undefined, lowestPort: number): string | null {
  const set = context?.sysctls?.find(({ name }) => name === UNPRIVILEGED_PORTS);
  if (set === undefined || lowestPort >= 1024 || Number(set.value) <= lowestPort) return null;
  return `spec.securityContext.sysctls: ${UNPRIVILEGED_PORTS} is ${set.value}, but the sidecar has to listen on port ${lowestPort}: remove the sysctl, or set it to ${lowestPort} or less`;
}
