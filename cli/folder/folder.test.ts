import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readDocuments } from './documents.ts';
import { Generations } from './generations.ts';
import { problemText } from './objects.ts';
import { type FolderRead, loadFolder, watchFolder } from './source.ts';

const root = mkdtempSync(join(tmpdir(), 'folder-'));
after(() => rmSync(root, { recursive: true }));
const workload = { namespace: 'shop', serviceAccount: 'agent' };
let made = 0;
function folder(files: { readonly [name: string]: string }): string {
  const dir = join(root, String(made++));
  mkdirSync(dir);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
  return dir;
}
const resource = `apiVersion: chaperone.dev/v1alpha1
kind: ProtectedResource
metadata:
  name: api
  namespace: shop
spec:
  protocol: HTTP
  address:
    host: 127.0.0.1
    port: 8080
  tls:
    mode: Disable
`;
const policy = (action: string) => `apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata:
  name: agents
  namespace: shop
spec:
  targetRefs:
    - name: api
  subjects:
    - serviceAccount: {namespace: shop, name: agent}
  rules:
    - name: read
      action: ${action}
`;
const load = (dir: string) => loadFolder({ manifests: dir, workload });
const texts = (read: FolderRead, dir: string) => (read.ok ? [] : read.problems.map((p) => problemText(p).replace(`${dir}/`, '')));

test('a folder becomes a snapshot; Secrets stand beside it', () => {
  const secret = 'apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: shop}\nstringData: {token: "made-up"}\n';
  const dir = folder({ 'a.yaml': `${resource}---\n${policy('Allow')}`, 'b.yml': secret, 'notes.txt': '{', '.a.yaml.swp': '{' });
  const read = load(dir);
  assert.ok(read.ok, texts(read, dir).join('\n'));
  assert.deepEqual(
    read.state.snapshot.resources.map(({ name, policies }) => [name, policies.length]),
    [['api', 1]],
  );
  assert.equal(read.state.secrets.get('shop/s')?.get('token')?.toString(), 'made-up');
  assert.ok(!JSON.stringify(read.state.snapshot).includes('made-up'));
});

test('what is none of our kinds is passed over with a warning', () => {
  const read = load(folder({ 'a.yaml': `${resource}---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n` }));
  assert.ok(read.ok);
  assert.match(read.state.warnings[0]?.message ?? '', /v1 Namespace is none of Chaperone's kinds/);
});

test('a reference that leads nowhere is a warning', () => {
  const dir = folder({ 'a.yaml': `${resource}---\n${policy('Allow').replace('- name: api', '- name: other')}` });
  const read = load(dir);
  assert.ok(read.ok);
  assert.equal(read.state.warnings.length, 1);
  assert.equal(read.state.warnings[0]?.line, 20);
});

const invalid: readonly [string, { readonly [name: string]: string }, RegExp][] = [
  ['a misspelt action, with its line', { 'a.yaml': `${resource}---\n${policy('Alow')}` }, /^a\.yaml:26: spec\.rules\[0\]\.action: .*Alow/],
  ['a misspelt member', { 'a.yaml': resource.replace('protocol', 'protocoll') }, /^a\.yaml:7: spec\.protocoll: /],
  [
    'a missing member points at what is around it',
    { 'a.yaml': resource.replace('    port: 8080\n', '') },
    /^a\.yaml:8: spec\.address\.port: /,
  ],
  ['an own kind that does not exist', { 'a.yaml': resource.replace('ProtectedResource', 'AccesPolicy') }, /^a\.yaml:2: kind: /],
  ['another version', { 'a.yaml': resource.replace('v1alpha1', 'v9') }, /^a\.yaml:1: apiVersion: /],
  [
    'the same object twice',
    { 'a.yaml': resource, 'b.yaml': resource },
    /^b\.yaml:4: metadata\.name: ProtectedResource shop\/api is there twice, first in .*a\.yaml:4/,
  ],
  ['broken YAML', { 'a.yaml': 'a: [1' }, /^a\.yaml:1: /],
  ['a key twice', { 'a.yaml': `${resource}kind: AccessPolicy\n` }, /^a\.yaml:13: Map keys must be unique/],
  [
    'an alias',
    { 'a.yaml': resource.replace('name: api', 'name: &n api').replace('namespace: shop', 'namespace: *n') },
    /aliases are not read/,
  ],
  ['an empty file, as an editor leaves it half-way', { 'a.yaml': resource, 'b.yaml': '' }, /^b\.yaml: the file is empty/],
  ['nothing of ours', { 'a.yaml': '# nothing\n' }, /has no manifest of Chaperone/],
  [
    'a Secret that is no base64',
    { 'a.yaml': `${resource}---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata:\n  pw: "hunter2!"\n` },
    /^a\.yaml:18: data\.pw: is not base64/,
  ],
  ['a scalar', { 'a.yaml': 'hello\n' }, /^a\.yaml:1: a manifest is an object/],
];
for (const [name, files, message] of invalid) {
  test(`refused: ${name}`, () => {
    const dir = folder(files);
    const found = texts(load(dir), dir);
    assert.ok(
      found.some((text) => message.test(text)),
      `${found.join('\n')} does not match ${message}`,
    );
    assert.ok(!found.join().includes('hunter2'));
  });
}

test('a billion laughs is refused at once', () => {
  const levels = Array.from(
    { length: 9 },
    (_, i) =>
      `l${i + 1}: &l${i + 1} [${Array(9)
        .fill(i === 0 ? 'x' : `*l${i}`)
        .join(', ')}]`,
  );
  assert.ok(readDocuments('a.yaml', levels.join('\n')).problems.length > 0);
});

test('a folder that is not there is a problem, not an exception', () => {
  assert.match(texts(load(join(root, 'none')), root)[0] ?? '', /can not be read as a folder/);
});

test('generations grow with the spec alone, and over a removal', () => {
  const generations = new Generations();
  const dir = folder({ 'a.yaml': resource, 'b.yaml': policy('Allow') });
  const generation = () => {
    const read = loadFolder({ manifests: dir, workload }, generations);
    assert.ok(read.ok);
    return read.state.objects.find(({ kind }) => kind === 'AccessPolicy')?.metadata.generation;
  };
  assert.equal(generation(), 1);
  assert.equal(generation(), 1);
  writeFileSync(join(dir, 'b.yaml'), policy('Allow').replace('  name: agents\n', '  name: agents\n  labels: {a: b}\n'));
  assert.equal(generation(), 1);
  writeFileSync(join(dir, 'b.yaml'), policy('Deny'));
  assert.equal(generation(), 2);
  writeFileSync(join(dir, 'b.yaml'), policy('Alow'));
  assert.ok(!loadFolder({ manifests: dir, workload }, generations).ok);
  rmSync(join(dir, 'b.yaml'));
  assert.equal(generation(), undefined);
  writeFileSync(join(dir, 'b.yaml'), policy('Deny'));
  assert.equal(generation(), 3);
});

test('the quickstart is valid, without a warning', () => {
  const dir = join(root, 'quickstart');
  cpSync('examples/quickstart', dir, { recursive: true });
  const read = load(dir);
  assert.ok(read.ok, texts(read, dir).join('\n'));
  assert.deepEqual(
    read.state.warnings.filter(({ message }) => !message.includes('Secret')),
    [],
  );
});

test('an edit is told once it has settled, however the editor writes', async (t) => {
  const dir = folder({ 'a.yaml': resource, 'b.yaml': policy('Allow') });
  const reads: FolderRead[] = [];
  let wake = () => {};
  const watched = watchFolder({ manifests: dir, workload }, new Generations(), (read) => {
    reads.push(read);
    wake();
  });
  t.after(() => watched.close());
  const next = async (edit: () => void): Promise<FolderRead> => {
    const told = new Promise<void>((resolve) => {
      wake = resolve;
    });
    edit();
    const keepAlive = setInterval(() => {}, 1000);
    await told;
    clearInterval(keepAlive);
    return reads.at(-1) ?? assert.fail();
  };
  const rules = (read: FolderRead) => (read.ok ? read.state.snapshot.resources[0]?.policies[0]?.rules[0]?.action : 'invalid');
  const path = join(dir, 'b.yaml');
  assert.equal(rules(await next(() => writeFileSync(path, policy('Deny')))), 'Deny');
  const renamed = await next(() => {
    renameSync(path, join(dir, 'b.yaml~'));
    writeFileSync(path, policy('Allow'));
  });
  assert.equal(rules(renamed), 'Allow');
  assert.equal(rules(await next(() => writeFileSync(path, readFileSync(path, 'utf8').slice(0, 180)))), 'invalid');
  assert.equal(rules(await next(() => rmSync(path))), undefined);
});
