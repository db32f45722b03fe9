import type { HttpAction } from '#crds/policy/action.ts';
import type { ResourcePolicy } from '#crds/policy/engine.ts';
import type { Principal } from '#crds/policy/principal.ts';
import type { SnapshotResource } from '#crds/policy/snapshot.ts';
import type { Verdict } from '#crds/policy/verdict.ts';
import { decide, decideAfterApproval, denialOf } from '../../decide/decide.ts';
import type { Permit } from '../../permit.ts';
import type { Outcome, PolicyStore, ResourceKey } from '../../pipeline.ts';
import type { RequestHead } from '../../wire/http/request.ts';
import { addressOf, hostHeader } from './target.ts';
import { encodeHead } from './upstream.ts';

export interface JudgedRequest {
  readonly action: HttpAction;
  /** What goes upstream, without the credential: the permit's bytes. */
  readonly bytes: Buffer;
  readonly outcome: Outcome;
}

/** Judges one request. What this driver can't hold to (masking of bodies, another protocol's resource) is a denial. */
export function judgeRequest(
  policy: ResourcePolicy | null,
  why: () => Verdict,
  head: RequestHead,
  principals: readonly Principal[],
  nowMs: number,
): JudgedRequest {
  const address = policy === null ? null : addressOf(policy.resource, head.host);
  const { method, path, query } = head;
  const action: HttpAction = { type: 'http', method, host: address?.host.toLowerCase() ?? head.host, path, query };
  const bytes = encodeHead({
    method,
    target: query === '' ? path : `${path}?${query}`,
    headers: [
      ...(policy === null || address === null ? [] : [hostHeader(address, policy.resource.tls.mode)]),
      ...head.headers,
      ...framing(head),
    ],
  });
  const outcome = decide(policy, why, { principals, action, nowMs }, bytes);
  if (outcome.type === 'denial' || policy === null) return { action, bytes, outcome };
  const refusal = notServed(policy, principals, address !== null);
  return {
    action,
    bytes,
    outcome: refusal === null ? outcome : { type: 'denial', denial: denialOf(refusal.check, 'NotSupported', refusal.message) },
  };
}

/** Is what was permitted still so? Null where it is. */
export function judgeAgain(
  policies: PolicyStore,
  key: ResourceKey,
  permit: Permit,
  principals: readonly Principal[],
  nowMs: number,
): Verdict | null {
  const policy = policies.resource(key);
  const input = { principals, action: permit.action, nowMs };
  const why = (): Verdict => policies.why(key);
  const outcome =
    permit.approval === undefined
      ? decide(policy, why, input, permit.bytes)
      : decideAfterApproval(policy, why, input, permit.bytes, { name: permit.approval, asked: permit.verdict });
  if (outcome.type === 'denial') return outcome.denial.verdict;
  if (outcome.type === 'hold')
    return denialOf('policy', 'PolicyChanged', 'the policy changed: the request now needs an approval', outcome.verdict).verdict;
  const refusal = policy === null ? null : notServed(policy, principals, true);
  return refusal === null ? null : denialOf(refusal.check, 'NotSupported', refusal.message).verdict;
}

interface Refusal {
  readonly check: string;
  readonly message: string;
}

function notServed(policy: ResourcePolicy, principals: readonly Principal[], addressed: boolean): Refusal | null {
  const { resource } = policy;
  const name = `ProtectedResource ${resource.namespace}/${resource.name}`;
  if (resource.protocol !== 'HTTP') return { check: 'protocol', message: `${name} does not speak HTTP` };
  if (!addressed) return { check: 'host', message: `the Host header names neither the address nor an alias of ${name}` };
  const masked = maskedBy(policy, resource, principals);
  return masked === null
    ? null
    : { check: 'masking', message: `MaskingRule ${masked} covers ${name}, and HTTP bodies can not be masked yet` };
}

/** A rule that these principals are not exempt from. Never is something passed on unmasked that a rule says is masked. */
function maskedBy(policy: ResourcePolicy, resource: SnapshotResource, principals: readonly Principal[]): string | null {
  const detector = policy.masking(principals).detectors[0];
  if (detector !== undefined) return `${detector.author.namespace}/${detector.author.name}`;
  const columns = resource.masking.find((rule) => rule.columns.length > 0);
  return columns === undefined ? null : `${columns.namespace}/${columns.name}`;
}

/** How the body's end is told upstream. */
function framing({ method, body }: RequestHead): readonly (readonly [string, string])[] {
  switch (body.type) {
    case 'length':
      return [['Content-Length', String(body.bytes)]];
    case 'chunked':
      return [['Transfer-Encoding', 'chunked']];
    case 'none':
      return method === 'GET' || method === 'HEAD' || method === 'OPTIONS' ? [] : [['Content-Length', '0']];
    default:
      return body satisfies never;
  }
}
