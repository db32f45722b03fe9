/** metadata: what Kubernetes itself demands of it. */

import type { ObjectMeta } from './kinds.ts';
import { DNS_LABEL, DNS_SUBDOMAIN } from './names.ts';
import { matchesPattern } from './pattern.ts';
import type { Problem } from './problem.ts';
import { at, quote, unknownField } from './walk.ts';

/** ObjectMeta of Kubernetes. */
const MEMBERS = [
  'name',
  'namespace',
  'labels',
  'annotations',
  'uid',
  'generation',
  'resourceVersion',
  'generateName',
  'selfLink',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'ownerReferences',
  'finalizers',
  'managedFields',
];

const SUBDOMAIN =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

/** A manifest's own metadata.namespace is optional; in a folder it then means `default`. */
export function readMetadata(value: unknown, problems: Problem[]): ObjectMeta {
  const given = membersOf(value);
  if (given === null) {
    problems.push({ path: 'metadata', code: 'Required', message: 'Required value' });
    return { name: '', namespace: '' };
  }
  const generated = orNothing(given.get('generateName')) !== undefined;
  if (generated) {
    problems.push({
      path: 'metadata.generateName',
      code: 'Forbidden',
      message: 'generateName is not supported: verdicts and recordings name the object, so it needs a name of its own',
    });
  }
  for (const name of given.keys()) if (!MEMBERS.includes(name)) problems.push(unknownField(name, MEMBERS, 'metadata'));
  const name = generated ? '' : dnsName(orNothing(given.get('name')), 'metadata.name', 253, DNS_SUBDOMAIN, SUBDOMAIN, problems);
  const namespace = dnsName(orNothing(given.get('namespace')) ?? 'default', 'metadata.namespace', 63, DNS_LABEL, LABEL, problems);
  const uid = textOrNothing(given.get('uid'), 'metadata.uid', problems);
  const resourceVersion = textOrNothing(given.get('resourceVersion'), 'metadata.resourceVersion', problems);
  const generation = generationOrNothing(given.get('generation'), problems);
  const labels = textMap(given.get('labels'), 'metadata.labels', problems);
  const annotations = textMap(given.get('annotations'), 'metadata.annotations', problems);
  return {
    name,
    namespace,
    ...(uid === undefined ? {} : { uid }),
    ...(generation === undefined ? {} : { generation }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
    ...(labels === undefined ? {} : { labels }),
    ...(annotations === undefined ? {} : { annotations }),
  };
}

function dnsName(value: unknown, path: string, maxLength: number, pattern: string, why: string, problems: Problem[]): string {
  if (value === undefined) {
    problems.push({ path, code: 'Required', message: 'Required value: name or generateName is required' });
  } else if (typeof value !== 'string') {
    problems.push(wrongType(path, 'string'));
  } else if (value.length > maxLength) {
    problems.push({ path, code: 'Invalid', message: `Invalid value: ${quote(value)}: must be no more than ${maxLength} bytes` });
  } else if (!matchesPattern(pattern, value)) {
    problems.push({ path, code: 'Invalid', message: `Invalid value: ${quote(value)}: ${why}` });
  }
  return typeof value === 'string' ? value : '';
}

/** Kubernetes takes an empty name for none. */
function orNothing(value: unknown): unknown {
  return value === null || value === '' ? undefined : value;
}

function textOrNothing(value: unknown, path: string, problems: Problem[]): string | undefined {
  if (typeof value === 'string') return value;
  if (value !== undefined && value !== null) problems.push(wrongType(path, 'string'));
  return undefined;
}

function generationOrNothing(value: unknown, problems: Problem[]): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  problems.push(wrongType('metadata.generation', 'integer'));
  return undefined;
}

const QUALIFIED_NAME = '^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$';

/** Labels and annotations. A key such as `__proto__` is not a qualified name, so none reaches the copy. */
function textMap(value: unknown, path: string, problems: Problem[]): { [key: string]: string } | undefined {
  if (value === undefined || value === null) return undefined;
  const given = membersOf(value);
  if (given === null) {
    problems.push(wrongType(path, 'object'));
    return undefined;
  }
  const copy: { [key: string]: string } = {};
  for (const [key, text] of given) {
    if (!matchesPattern(QUALIFIED_NAME, key)) {
      problems.push({ path, code: 'Invalid', message: `Invalid value: ${quote(key)}: not a qualified name` });
    } else if (typeof text !== 'string') {
      problems.push(wrongType(at(path, key), 'string'));
    } else {
      copy[key] = text;
    }
  }
  return copy;
}

function membersOf(value: unknown): ReadonlyMap<string, unknown> | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
  return new Map<string, unknown>(Object.entries(value));
}

function wrongType(path: string, type: string): Problem {
  return { path, code: 'TypeInvalid', message: `Invalid value: must be of type ${type}` };
}
