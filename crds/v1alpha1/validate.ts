import { API_VERSION, type ChaperoneObject, GROUP, KINDS, type Kind } from './kinds.ts';
import { readMetadata } from './metadata.ts';
import { asNode } from './node.ts';
import type { Problem } from './problem.ts';
import { semanticProblems } from './semantic.ts';
import { tooLarge } from './size.ts';
import { quote, unknownField, walk } from './walk.ts';

export type Validation =
  | { readonly ok: true; readonly object: ChaperoneObject }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Whether a manifest says that it is of our group, in whatever version: then it is ours to judge. */
export function isOfOurGroup(manifest: unknown): boolean {
  const apiVersion = ownMember(manifest, 'apiVersion');
  return typeof apiVersion === 'string' && (apiVersion === GROUP || apiVersion.startsWith(`${GROUP}/`));
}

/**
 * One manifest of group chaperone.dev, as parsed from YAML or JSON. Never throws. What it says agrees with what the API server says of the CRD,
 * and it also checks what a CRD can't. The object is a copy with defaults filled in; unknown members are refused, never dropped.
 */
export function validateManifest(manifest: unknown): Validation {
  const large = tooLarge(manifest);
  if (large !== null) return refused([large]);
  const kind = kindOf(manifest);
  if (typeof kind !== 'string') return refused([kind]);
  const { spec, status } = KINDS[kind];
  const problems: Problem[] = [];
  const given = new Map<string, unknown>(Object.entries(manifest as object));
  for (const name of given.keys()) if (!MEMBERS.includes(name)) problems.push(unknownField(name, MEMBERS, ''));
  const metadata = readMetadata(given.get('metadata'), problems);
  const givenStatus = given.get('status') ?? {};
  walk(asNode(status), givenStatus, 'status', problems);
  if (!given.has('spec')) problems.push({ path: 'spec', code: 'Required', message: 'Required value' });
  const copy = given.has('spec') ? walk(asNode(spec), given.get('spec'), 'spec', problems) : undefined;
  if (problems.length > 0) return refused(problems);
  // The schema is the source of the type, and the walk has just held the copy against it.
  const object = { apiVersion: API_VERSION, kind, metadata, spec: copy } as ChaperoneObject;
  const semantic = semanticProblems(object);
  return semantic.length > 0 ? refused(semantic) : { ok: true, object };
}

const MEMBERS = ['apiVersion', 'kind', 'metadata', 'spec', 'status'];

function kindOf(manifest: unknown): Kind | Problem {
  if (typeof manifest !== 'object' || manifest === null || Array.isArray(manifest)) {
    return { path: '', code: 'TypeInvalid', message: 'a manifest is an object with apiVersion, kind, metadata and spec' };
  }
  const apiVersion = ownMember(manifest, 'apiVersion');
  const kind = ownMember(manifest, 'kind');
  if (typeof apiVersion !== 'string') return { path: 'apiVersion', code: 'Required', message: 'Required value' };
  if (typeof kind !== 'string') return { path: 'kind', code: 'Required', message: 'Required value' };
  if (apiVersion === API_VERSION && Object.hasOwn(KINDS, kind)) return kind as Kind;
  const path = apiVersion === API_VERSION ? 'kind' : 'apiVersion';
  const known = `${API_VERSION} has ${Object.keys(KINDS).join(', ')}`;
  return { path, code: 'UnknownKind', message: `no matches for kind ${quote(kind)} in version ${quote(apiVersion)}; ${known}` };
}

function ownMember(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined;
}

function refused(problems: readonly Problem[]): Validation {
  return { ok: false, problems };
}
