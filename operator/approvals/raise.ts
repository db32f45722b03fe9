/** From what a sidecar raises to the object that people answer. Pure. The sidecar's word counts for what is held, never for who its workload is. */
import { type ApprovalRaiseMessage, approvalName, UUID } from '#crds/control/approvals.ts';
import { personKey } from '#crds/policy/people.ts';
import type { SnapshotGate } from '#crds/policy/snapshot.ts';
import type { ApprovalRequest } from '#crds/v1alpha1/internal-kinds.ts';
import { API_VERSION } from '#crds/v1alpha1/kinds.ts';

export interface ApprovalPeer {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly pod: string;
  readonly podUid: string;
}

type Spec = ApprovalRequest['spec'];
type Asker = Spec['askers'][number];
type Author = Spec['authors'][number];

const MAX_ASKERS = 15;
const MAX_AUTHORS = 64;
const MAX_SUMMARY = 16_384;
const KINDS = ['AccessPolicy', 'ApprovalGate', 'MaskingRule', 'ProtectedResource', 'Chaperone'] as const;

/** Null where what was raised is not what a sidecar of ours sends. */
export function requestOf(
  raise: ApprovalRaiseMessage,
  peer: ApprovalPeer,
  gates: readonly SnapshotGate[],
  nowMs: number,
): (ApprovalRequest & { readonly metadata: { readonly labels: { readonly [key: string]: string } } }) | null {
  const [tokens, authors] = [listOf(raise.principalsJson, askerOf), listOf(raise.authorsJson, authorOf)];
  if (!UUID.test(raise.id) || !/^[0-9a-f]{64}$/.test(raise.binding) || tokens === null || authors === null || gates.length === 0)
    return null;
  const workload: Asker = {
    kind: 'ServiceAccount',
    issuer: 'cluster',
    subject: `${peer.namespace}/${peer.serviceAccount}`,
    proof: 'certificate',
  };
  const others = tokens.filter(({ kind, subject }) => kind !== 'ServiceAccount' || subject !== workload.subject);
  if (others.length > MAX_ASKERS) return null;
  const askers = [workload, ...others];
  const timeoutMs = Math.min(...gates.map(({ timeoutSeconds }) => timeoutSeconds)) * 1000;
  return {
    apiVersion: API_VERSION,
    kind: 'ApprovalRequest',
    metadata: {
      name: approvalName(raise.id),
      namespace: raise.resourceNamespace,
      labels: { 'chaperone.dev/resource': raise.resourceName.slice(0, 63).replace(/[^a-z0-9]+$/, '') },
    },
    spec: {
      id: raise.id,
      session: raise.session.slice(0, 128),
      resource: raise.resourceName,
      asker: askers.at(-1)?.subject ?? workload.subject,
      askers,
      gates: gates.map(({ name, generation, quorum }) => ({ name, generation, quorum })),
      authors: authors.slice(0, MAX_AUTHORS),
      summary: [...raise.summary].slice(0, MAX_SUMMARY).join(''),
      binding: raise.binding,
      sidecar: { namespace: peer.namespace, serviceAccount: peer.serviceAccount, pod: peer.pod, podUid: peer.podUid },
      expiresAt: new Date(nowMs + timeoutMs).toISOString(),
    },
  };
}

/** Who asks, for the limit: every identity of the session. */
export function askersKey({ askers }: Spec): string {
  return JSON.stringify(askers.map((asker) => personKey({ ...asker, groups: [], claims: {} })).sort());
}

function listOf<T>(json: Uint8Array, one: (value: unknown) => T | null): T[] | null {
  try {
    const list: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json));
    if (!Array.isArray(list)) return null;
    const items = list.map(one);
    return items.every((item): item is Awaited<T> & T => item !== null) ? items : null;
  } catch {
    return null;
  }
}

function askerOf(value: unknown): Asker | null {
  if (typeof value !== 'object' || value === null) return null;
  const { kind, issuer, subject, proof, onBehalfOf, actor } = value as { readonly [member: string]: unknown };
  if ((kind !== 'ServiceAccount' && kind !== 'User') || !isName(issuer, 512) || !isName(subject, 1024)) return null;
  if (proof !== 'token' && proof !== 'certificate') return null;
  if ((onBehalfOf !== undefined && !isName(onBehalfOf, 1024)) || (actor !== undefined && !isName(actor, 1024))) return null;
  return { kind, issuer, subject, proof, ...(onBehalfOf === undefined ? {} : { onBehalfOf }), ...(actor === undefined ? {} : { actor }) };
}

function authorOf(value: unknown): Author | null {
  if (typeof value !== 'object' || value === null) return null;
  const { kind, namespace, name, generation, rule } = value as { readonly [member: string]: unknown };
  const known = KINDS.find((one) => one === kind);
  if (known === undefined || typeof namespace !== 'string' || typeof name !== 'string' || typeof rule !== 'string') return null;
  if (typeof generation !== 'number' || !Number.isSafeInteger(generation) || generation < 0) return null;
  return { kind: known, namespace: namespace.slice(0, 63), name: name.slice(0, 253), generation, rule: rule.slice(0, 253) };
}

function isName(value: unknown, max: number): value is string {
  return typeof value === 'string' && value !== '' && value.length <= max;
}
