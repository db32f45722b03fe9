/** Operator and sidecar one minor version apart: an older operator's snapshot here, and what this operator compiles for an older sidecar. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it, test } from 'node:test';
import type { TSchema } from 'typebox';
import { Check, Errors } from 'typebox/value';
import { parseAllDocuments, stringify } from 'yaml';
import { canonicalJson } from '#crds/policy/json.ts';
import { RESOURCE_LIMITS } from '#crds/policy/limits.ts';
import { loadSnapshot } from '#crds/policy/load.ts';
import { CAPABILITIES, type Snapshot, type SnapshotResource } from '#crds/policy/snapshot.ts';
import { validateManifest } from '#crds/v1alpha1/validate.ts';
import { actionOf, type Does, principalsOf } from '../../crds/testdata/decisions/case.ts';
import { type CompileObject, compile } from './compile.ts';

const text = (name: string) => readFileSync(new URL(`./testdata/skew/${name}`, import.meta.url), 'utf8');
const older = {
  snapshot: JSON.parse(text('snapshot.json')) as Snapshot,
  ...(JSON.parse(text('sidecar.json')) as { readonly capabilities: readonly string[]; readonly head: TSchema; readonly resource: TSchema }),
  ...(JSON.parse(text('verdicts.json')) as {
    readonly verdicts: readonly { readonly resource: string; readonly does: Does; readonly decision: string; readonly code: string }[];
    readonly columns: Readonly<Record<string, unknown>>;
  }),
};
const agent = { namespace: 'shop', serviceAccount: 'agent' };

function compiled(manifests: string): Snapshot {
  const objects = parseAllDocuments(manifests).map((document): CompileObject => {
    const checked = validateManifest(document.toJS());
    assert.ok(checked.ok, JSON.stringify(checked));
    const { kind, metadata } = checked.object;
    return { ...checked.object, metadata: { ...metadata, uid: `uid-of-${kind}-${metadata.name}`, generation: 1 } };
  });
  return JSON.parse(canonicalJson(compile(objects, agent).snapshot)) as Snapshot;
}

/** What the older sidecar says of a snapshot: refused as a whole, or what each resource is to it. */
function olderSidecar({ resources, ...head }: Snapshot): { readonly refused: readonly string[]; readonly denied: readonly string[] } {
  const lacks = ({ requiredCapabilities }: SnapshotResource) => requiredCapabilities.some((name) => !older.capabilities.includes(name));
  const problems = (schema: TSchema, value: unknown) =>
    Check(schema, value) ? [] : Errors(schema, value).map(({ instancePath, message }) => `${instancePath} ${message}`);
  const read = resources.filter((resource) => !lacks(resource));
  return {
    refused: [...problems(older.head, { ...head, resources }), ...read.flatMap((resource) => problems(older.resource, resource))],
    denied: resources.filter(lacks).map(({ name }) => name),
  };
}

describe("an older operator's snapshot is taken, and means what it meant", () => {
  const loaded = loadSnapshot(older.snapshot, CAPABILITIES);
  assert.ok(loaded.ok, JSON.stringify(loaded));
  const of = (name: string) => loaded.policies.get({ namespace: 'shop', name }) ?? assert.fail(name);

  it('it has no problems', () => assert.deepEqual(loaded.problems, []));
  for (const { resource, does, decision, code } of older.verdicts) {
    it(`${JSON.stringify(does)}: ${decision}`, () => {
      const nowMs = Date.parse('2026-11-21T10:00:00Z');
      const verdict = of(resource).judge({ principals: principalsOf(undefined), action: actionOf(does), nowMs });
      assert.deepEqual([verdict.decision, verdict.code], [decision, code]);
    });
  }
  it('it masks the same columns in the same way', () => {
    const masks = of('shop-db').masking(principalsOf(undefined));
    for (const [column, strategy] of Object.entries(older.columns)) {
      const [schema = '', relation = '', name = ''] = column.split('.');
      assert.deepEqual(masks.column(schema, relation, name)?.strategy ?? null, strategy, column);
    }
  });
});

test('an older sidecar takes what is compiled from manifests that it knew: nothing of them asks for what it lacks', () => {
  assert.deepEqual(olderSidecar(compiled(text('policies.yaml'))), { refused: [], denied: [] });
});

test('and it is the same snapshot, so that an upgrade of the operator changes no version', () => {
  assert.deepEqual(compiled(text('policies.yaml')), older.snapshot);
});

const NEWER: readonly (readonly [what: string, kind: string, spec: Readonly<Record<string, unknown>>])[] = [
  ['ruleSets', 'AccessPolicy', { ruleSets: ['noDrop'] }],
  ['minimumAssurance', 'AccessPolicy', { minimumAssurance: 'B' }],
  ['limits of a target', 'ProtectedResource', { limits: { [Object.keys(RESOURCE_LIMITS)[0] ?? '']: 60 } }],
];
for (const [what, kind, spec] of NEWER) {
  test(`${what}: an older sidecar denies the resource that uses it, and takes the other`, () => {
    const documents = parseAllDocuments(text('policies.yaml')).map((document) => document.toJS());
    const changed = documents.find((object) => object.kind === kind && object.metadata.name.startsWith('shop-'));
    Object.assign(changed.spec, spec);
    const newer = compiled(documents.map((object) => stringify(object)).join('---\n'));
    assert.deepEqual(olderSidecar(newer), { refused: [], denied: ['shop-db'] });
  });
}

test('no capability was taken away: what an older operator asks for is here', () => {
  assert.deepEqual(
    older.capabilities.filter((name) => !(CAPABILITIES as readonly string[]).includes(name)),
    [],
  );
});
