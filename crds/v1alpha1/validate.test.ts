import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parse, parseAllDocuments } from 'yaml';
import type { ChaperoneObject } from './kinds.ts';
import { MAX_DEPTH, MAX_VALUES } from './size.ts';
import { isOfOurGroup, validateManifest } from './validate.ts';

const INVALID = new URL('../testdata/invalid/', import.meta.url);
const QUICKSTART = new URL('../../examples/quickstart/', import.meta.url);

function yamlFilesOf(folder: URL): readonly { readonly name: string; readonly text: string }[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.yaml'))
    .map((name) => ({ name, text: readFileSync(new URL(name, folder), 'utf8') }));
}

function expectationsOf(text: string): readonly string[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('# expect: '))
    .map((line) => line.slice('# expect: '.length));
}

function problemsOf(manifest: unknown): readonly string[] {
  const result = validateManifest(manifest);
  return result.ok ? [] : result.problems.map(({ path, message }) => `${path === '' ? '(root)' : path}: ${message}`);
}

function valid(manifest: unknown): ChaperoneObject {
  const result = validateManifest(manifest);
  assert.ok(result.ok, JSON.stringify(result));
  return result.object;
}

const GATE = {
  apiVersion: 'chaperone.dev/v1alpha1',
  kind: 'ApprovalGate',
  metadata: { name: 'leads' },
  spec: { approvers: [{ group: 'leads' }] },
};

describe('a manifest that is refused', () => {
  const files = yamlFilesOf(INVALID);
  it('has at least 40 cases', () => assert.ok(files.length >= 40));
  for (const { name, text } of files) {
    it(name, () => {
      const expected = expectationsOf(text);
      assert.ok(expected.length > 0, 'the file says what is expected');
      assert.deepEqual(problemsOf(parse(text)), expected);
    });
  }
});

describe('a manifest that is taken', () => {
  for (const { name, text } of yamlFilesOf(QUICKSTART)) {
    it(`quickstart/${name}`, () => {
      const documents = parseAllDocuments(text);
      assert.ok(documents.length > 0);
      for (const document of documents) {
        assert.deepEqual(document.errors, []);
        valid(document.toJS());
      }
    });
  }

  it('has its defaults filled in, and its namespace', () => {
    assert.deepEqual(valid(GATE), {
      ...GATE,
      metadata: { name: 'leads', namespace: 'default' },
      spec: { approvers: [{ group: 'leads' }], quorum: 1, timeoutSeconds: 300, grant: { scope: 'Statement' }, requireReason: false },
    });
    const resource = valid({
      apiVersion: 'chaperone.dev/v1alpha1',
      kind: 'ProtectedResource',
      metadata: { name: 'db', namespace: 'shop' },
      spec: {
        protocol: 'PostgreSQL',
        address: { host: 'db', port: 5432 },
        tls: { caSecretRef: { name: 'ca' } },
        postgresql: { database: 'shop', users: [{ name: 'app', secretRef: { name: 'app' } }] },
      },
    });
    assert.deepEqual(resource.spec, {
      protocol: 'PostgreSQL',
      address: { host: 'db', port: 5432 },
      tls: { mode: 'VerifyFull', caSecretRef: { name: 'ca', key: 'ca.crt' } },
      agentToken: 'Accept',
      postgresql: {
        database: 'shop',
        users: [{ name: 'app', secretRef: { name: 'app', usernameKey: 'username', passwordKey: 'password' } }],
      },
      recording: { results: 'None', sampleRows: 20, fsync: 'Never', onFailure: 'FailClosed', mode: 'Async' },
    });
  });

  it('is not changed when it is validated again', () => {
    const once = valid(GATE);
    assert.deepEqual(valid(once), once);
  });

  it('keeps what a cluster adds: uid and generation, and leaves status out', () => {
    const object = valid({
      ...GATE,
      metadata: {
        name: 'leads',
        namespace: 'shop',
        uid: 'u-1',
        generation: 3,
        resourceVersion: '9',
        managedFields: [{}],
        labels: { a: 'b' },
      },
      status: { conditions: [] },
    });
    assert.deepEqual(object.metadata, {
      name: 'leads',
      namespace: 'shop',
      uid: 'u-1',
      generation: 3,
      resourceVersion: '9',
      labels: { a: 'b' },
    });
    assert.equal(object.status, undefined);
  });

  it('shares nothing with what was given', () => {
    const given = structuredClone(GATE);
    const object = valid(given);
    given.spec.approvers.length = 0;
    assert.deepEqual(object.kind === 'ApprovalGate' && object.spec.approvers, [{ group: 'leads' }]);
  });
});

describe('hostile input', () => {
  it('__proto__ is an unknown member wherever it stands', () => {
    const text = JSON.stringify(GATE);
    for (const [place, path] of [
      ['"spec":{', 'spec.__proto__'],
      ['"approvers":[{', 'spec.approvers[0].__proto__'],
      ['"metadata":{', 'metadata.__proto__'],
    ] as const) {
      const manifest: unknown = JSON.parse(text.replace(place, `${place}"__proto__":{"polluted":true},`));
      assert.deepEqual(problemsOf(manifest), [`${path}: unknown field "${path}"`]);
    }
    const label: unknown = JSON.parse(text.replace('"metadata":{', '"metadata":{"labels":{"__proto__":"x"},'));
    assert.deepEqual(problemsOf(label), ['metadata.labels: Invalid value: "__proto__": not a qualified name']);
    assert.equal(Object.hasOwn(Object.prototype, 'polluted'), false);
  });

  it('a member that only the prototype has does not count', () => {
    const manifest: unknown = Object.assign(Object.create({ apiVersion: GATE.apiVersion, kind: GATE.kind }) as object, {});
    assert.deepEqual(problemsOf(manifest), ['apiVersion: Required value']);
    assert.equal(isOfOurGroup(manifest), false);
    assert.deepEqual(problemsOf({ ...GATE, kind: 'constructor' }).length, 1);
  });

  it('depth and size are bounded', () => {
    let deep: unknown = [];
    for (let depth = 0; depth < 100_000; depth++) deep = [deep];
    assert.deepEqual(problemsOf({ ...GATE, spec: deep }), [`(root): the manifest is too large: nested deeper than ${MAX_DEPTH}`]);
    const cycle: unknown[] = [];
    cycle.push(cycle);
    assert.equal(validateManifest({ ...GATE, spec: cycle }).ok, false);
    const wide = Array.from({ length: MAX_VALUES + 1 }, () => 1);
    assert.deepEqual(problemsOf({ ...GATE, spec: wide }), [`(root): the manifest is too large: more than ${MAX_VALUES} values`]);
    let laughs: unknown = ['lol'];
    for (let level = 0; level < 20; level++) laughs = Array.from({ length: 10 }, () => laughs);
    assert.deepEqual(problemsOf({ ...GATE, spec: laughs }), [`(root): the manifest is too large: more than ${MAX_VALUES} values`]);
    assert.match(problemsOf({ ...GATE, spec: { approvers: [{ user: 'x'.repeat(2_000_000) }] } })[0] ?? '', /too large/);
  });

  it('a message never repeats more than 256 characters of a value', () => {
    const [message] = problemsOf({ ...GATE, metadata: { name: 'X'.repeat(200) + '!'.repeat(53) } });
    assert.ok(message !== undefined && message.length < 700);
    for (const problem of problemsOf({ ...GATE, spec: { ...GATE.spec, ['q'.repeat(100_000)]: 1 } })) assert.ok(problem.length < 700);
  });
});

describe('a condition', () => {
  it('that is too expensive is refused', () => {
    const loops = 'principals.all(a, principals.all(b, principals.all(c, principals.all(d, a == b && c == d))))';
    const [problem, ...others] = problemsOf({
      apiVersion: 'chaperone.dev/v1alpha1',
      kind: 'AccessPolicy',
      metadata: { name: 'agents' },
      spec: {
        targetRefs: [{ name: 'db' }],
        subjects: [{ group: 'sre' }],
        rules: [
          { name: 'a', action: 'Allow', when: 'principals.size() == 1' },
          { name: 'b', action: 'Allow', when: loops },
        ],
      },
    });
    assert.match(problem ?? '', /^spec\.rules\[1\]\.when: too expensive/);
    assert.deepEqual(others, []);
  });
});

describe('any JSON value', () => {
  it('is answered, never thrown at', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
        assert.equal(typeof validateManifest(value).ok, 'boolean');
      }),
    );
  });

  it('in any place of a manifest is answered, never thrown at', () => {
    const manifests = [...yamlFilesOf(QUICKSTART), ...yamlFilesOf(INVALID)].flatMap(({ text }) =>
      parseAllDocuments(text).map((document) => JSON.stringify(document.toJS())),
    );
    fc.assert(
      fc.property(fc.constantFrom(...manifests), fc.nat(), fc.jsonValue({ maxDepth: 2 }), (text, at, value) => {
        const manifest: unknown = JSON.parse(text);
        const places = placesOf(manifest);
        const place = places[at % places.length];
        if (place !== undefined) place.holder[place.key] = value;
        const result = validateManifest(manifest);
        if (result.ok) assert.deepEqual(valid(result.object), result.object);
        else assert.ok(result.problems.every(({ message }) => message.length > 0));
      }),
      { numRuns: 500 },
    );
  });
});

interface Place {
  readonly holder: { [key: string]: unknown };
  readonly key: string;
}

function placesOf(value: unknown): readonly Place[] {
  if (typeof value !== 'object' || value === null) return [];
  const holder = value as { [key: string]: unknown };
  return Object.keys(holder).flatMap((key) => [{ holder, key }, ...placesOf(holder[key])]);
}
