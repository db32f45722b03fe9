/**
 * Objects that are in the cluster and that the validator refuses: older ones, or ones that came past the webhook. They can't be compiled, and what they
 * would have forbidden is not known, so each denies whatever it might be about. Their spec is read by hand, and nothing in it is believed but names.
 */
import type { Source } from '#crds/policy/snapshot.ts';
import type { Kind } from '#crds/v1alpha1/kinds.ts';
import type { Workload } from './parts.ts';

export interface BrokenObject extends Source {
  readonly kind: Kind;
  readonly spec: unknown;
  readonly createdAt?: string | undefined;
  /** What the validator says. */
  readonly problems: readonly string[];
}

/** Whether it may be about the resource: where its targets can't be read, about every one of its namespace. */
export function mayTarget({ namespace, spec }: BrokenObject, resource: { readonly namespace: string; readonly name: string }): boolean {
  if (namespace !== resource.namespace) return false;
  const refs = member(spec, 'targetRefs');
  if (!Array.isArray(refs) || refs.length === 0) return true;
  return refs.some((ref: unknown) => {
    const name = member(ref, 'name');
    return typeof name !== 'string' || name === resource.name;
  });
}

/** What takes away from what others allow, beside rules. */
const RESTRICTING = ['limits', 'ruleSets', 'minimumAssurance'];

/** A policy that is known to allow only, or to be an audit, or about other service accounts, can be left out as a valid one would be. */
export function mayRestrict({ spec }: BrokenObject, workload: Workload): boolean {
  if (member(spec, 'mode') === 'Audit') return false;
  const subjects = member(spec, 'subjects');
  if (Array.isArray(subjects) && subjects.length > 0 && subjects.every((subject) => isOfAnother(subject, workload))) return false;
  const rules = member(spec, 'rules');
  const allowsOnly = Array.isArray(rules) && rules.length > 0 && rules.every((rule) => member(rule, 'action') === 'Allow');
  return !allowsOnly || RESTRICTING.some((name) => member(spec, name) !== undefined);
}

/** As much of the target as can be read, so that its address still belongs to it and is denied, not taken for one that nobody protects. */
export function addressesOf({ spec }: BrokenObject): readonly { readonly host: string; readonly port: number }[] {
  const aliases = member(spec, 'aliases');
  const given: readonly unknown[] = [member(spec, 'address'), ...(Array.isArray(aliases) ? (aliases as unknown[]) : [])];
  return given.flatMap((address) => {
    const [host, port] = [member(address, 'host'), member(address, 'port')];
    const readable =
      typeof host === 'string' && host !== '' && typeof port === 'number' && Number.isInteger(port) && port >= 1 && port <= 65535;
    return readable ? [{ host, port }] : [];
  });
}

function isOfAnother(subject: unknown, workload: Workload): boolean {
  const account = member(subject, 'serviceAccount');
  const [namespace, name] = [member(account, 'namespace'), member(account, 'name')];
  if (typeof namespace !== 'string' || typeof name !== 'string') return false;
  return namespace !== workload.namespace || name !== workload.serviceAccount;
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined;
}
