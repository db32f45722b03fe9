/** The quickstart means what its comments say. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { before, describe, it } from 'node:test';
import { parseAllDocuments } from 'yaml';
import type { Action, SqlStatement, StatementKind } from '#crds/policy/action.ts';
import type { ResourcePolicy } from '#crds/policy/engine.ts';
import { loadSnapshot } from '#crds/policy/load.ts';
import type { Principal } from '#crds/policy/principal.ts';
import { CAPABILITIES } from '#crds/policy/snapshot.ts';
import type { ChaperoneObject } from '#crds/v1alpha1/kinds.ts';
import { validateManifest } from '#crds/v1alpha1/validate.ts';
import { compile } from '#operator/compile/compile.ts';

const FOLDER = new URL('./', import.meta.url);

const AGENT: Principal = { kind: 'ServiceAccount', issuer: 'standalone', subject: 'shop/agent', groups: [], claims: {}, proof: 'listener' };
const OTHER: Principal = { ...AGENT, subject: 'shop/web' };
const SRE: Principal = { kind: 'User', issuer: 'local', subject: 'alice', groups: ['sre'], claims: {}, proof: 'token' };

function objects(): readonly ChaperoneObject[] {
  return readdirSync(FOLDER)
    .filter((name) => name.endsWith('.yaml'))
    .flatMap((name) => parseAllDocuments(readFileSync(new URL(name, FOLDER), 'utf8')))
    .map((document) => {
      const result = validateManifest(document.toJS());
      assert.ok(result.ok, JSON.stringify(result));
      return result.object;
    });
}

function statement(kind: StatementKind, relation: string, missingWhere = false): Action {
  const [schema = '', name = ''] = relation.split('.');
  const access = kind === 'Select' ? 'Read' : 'Write';
  const touched = [{ schema, name }];
  const facts: SqlStatement = {
    kind,
    kinds: [kind],
    reads: access === 'Read' ? touched : [],
    writes: access === 'Read' ? [] : touched,
    reached: [],
    functions: [],
    access,
    missingWhere,
    effects: [],
    countsRows: false,
    housekeeping: false,
  };
  return { type: 'sql', database: 'shop', user: 'app', statements: [facts] };
}

function request(method: string, path: string): Action {
  return { type: 'http', method, host: 'billing-api', path, query: '' };
}

describe('the quickstart', () => {
  const resources = new Map<string, ResourcePolicy>();

  before(() => {
    const identified = objects().map((object) => ({
      ...object,
      metadata: { ...object.metadata, uid: `${object.kind}/${object.metadata.name}`, generation: 1 },
    }));
    const { snapshot, conditions } = compile(identified, { namespace: 'shop', serviceAccount: 'agent' });
    for (const { kind, name, conditions: all } of conditions)
      for (const { type, status, message } of all) assert.equal(status, 'True', `${kind} ${name}: ${type}: ${message}`);
    const loaded = loadSnapshot(snapshot, CAPABILITIES);
    assert.ok(loaded.ok, JSON.stringify(loaded));
    assert.deepEqual(loaded.problems, []);
    for (const policy of loaded.policies.all) resources.set(policy.resource.name, policy);
  });

  const verdict = (resource: string, who: Principal, action: Action) => {
    const policy = resources.get(resource);
    assert.ok(policy !== undefined);
    const { decision, authors } = policy.judge({ principals: [who], action, nowMs: 0 });
    return `${decision} ${authors[0]?.rule ?? ''}`.trim();
  };

  for (const [what, who, action, expected] of [
    ['a read', AGENT, statement('Select', 'public.customers'), 'Allow read'],
    ['a read by somebody with the group', SRE, statement('Select', 'public.customers'), 'Allow read'],
    ['a read by another workload', OTHER, statement('Select', 'public.customers'), 'Deny'],
    ['a read of another schema', AGENT, statement('Select', 'private.keys'), 'Deny'],
    ['an UPDATE', AGENT, statement('Update', 'public.orders'), 'Hold changes-need-approval'],
    ['a DELETE', AGENT, statement('Delete', 'public.orders'), 'Hold changes-need-approval'],
    ['a DELETE with no WHERE', AGENT, statement('Delete', 'public.orders', true), 'Deny no-change-without-where'],
    ['a DROP', AGENT, statement('Drop', 'public.orders'), 'Deny no-drop'],
    ['a TRUNCATE', AGENT, statement('Truncate', 'public.orders', true), 'Deny no-drop'],
    ['an INSERT', AGENT, statement('Insert', 'public.orders'), 'Deny'],
  ] as const) {
    it(`shop-db: ${what}: ${expected}`, () => assert.equal(verdict('shop-db', who, action), expected));
  }

  for (const [method, path, expected] of [
    ['GET', '/v1/invoices', 'Allow read-invoices'],
    ['GET', '/v1/invoices/17/lines', 'Allow read-invoices'],
    ['GET', '/v1/customers', 'Deny'],
    ['POST', '/v1/refunds', 'Hold refunds-need-approval'],
    ['DELETE', '/v1/invoices/17', 'Deny no-delete'],
  ] as const) {
    it(`billing-api: ${method} ${path}: ${expected}`, () => assert.equal(verdict('billing-api', AGENT, request(method, path)), expected));
  }

  it('masks e-mail, card and SSN, and nothing else of a customer', () => {
    const masking = resources.get('shop-db')?.masking([AGENT]);
    const strategies = ['id', 'name', 'email', 'card', 'ssn'].map(
      (column) => masking?.column('public', 'customers', column)?.strategy ?? null,
    );
    assert.deepEqual(strategies, [
      null,
      null,
      { type: 'Partial', keepStart: 1, keepEnd: 0 },
      { type: 'Partial', keepStart: 0, keepEnd: 4 },
      { type: 'Redact' },
    ]);
    assert.deepEqual(
      masking?.detectors.map(({ type }) => type),
      ['Card', 'Email', 'SSN'],
    );
  });
});
