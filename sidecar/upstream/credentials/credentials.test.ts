import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { format, inspect } from 'node:util';
import { isSecret, secretOf } from './manifest.ts';
import { readMountedSecrets } from './mounted.ts';
import { createCredentialStore } from './store.ts';

const dir = mkdtempSync(join(tmpdir(), 'secrets-'));
after(() => rmSync(dir, { recursive: true }));
const value = randomBytes(12).toString('hex');
const manifest = (over: object) => ({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'db', namespace: 'shop' }, ...over });

test('data and stringData of a Secret, the second wins', () => {
  const data = { password: Buffer.from('other').toString('base64'), username: Buffer.from('app').toString('base64') };
  const secret = secretOf(manifest({ data, stringData: { password: value } }));
  const store = createCredentialStore(new Map([[secret.key, secret.data]]));
  assert.equal(store.get('shop', 'db', 'password').toString(), value);
  assert.equal(store.get('shop', 'db', 'username').toString(), 'app');
});

test('nothing that prints a store prints a value', () => {
  const store = createCredentialStore(new Map([['shop/db', new Map([['password', Buffer.from(value)]])]]));
  const printed = [
    inspect(store, { depth: 9, showHidden: true }),
    format('%s %o %j', store, store, store),
    `${store}`,
    JSON.stringify({ store }),
  ];
  for (const text of printed) {
    assert.ok(!text.includes(value));
    assert.ok(!text.includes(Buffer.from(value).toString('hex').slice(0, 12)));
  }
});

test('what is missing is named, without what is there', () => {
  const store = createCredentialStore(new Map([['shop/db', new Map([['password', Buffer.from(value)]])]]));
  assert.throws(() => store.get('shop', 'none', 'password'), { code: 'SecretMissing', message: 'there is no Secret shop/none' });
  assert.throws(() => store.get('shop', 'db', 'none'), { code: 'KeyMissing', message: 'the Secret shop/db has no key none' });
  assert.throws(() => store.get('other', 'db', 'password'), { code: 'SecretMissing' });
});

test('a caller that wipes its copy wipes nothing else', () => {
  const store = createCredentialStore(new Map([['shop/db', new Map([['password', Buffer.from(value)]])]]));
  store.get('shop', 'db', 'password').fill(0);
  assert.equal(store.get('shop', 'db', 'password').toString(), value);
});

const invalid: readonly [string, object, RegExp][] = [
  ['plain text under data', { data: { password: `${value}!` } }, /data\.password: is not base64/],
  ['a number', { stringData: { password: 1234 } }, /stringData\.password: must be a text/],
  ['a list', { data: ['x'] }, /data: must be an object/],
  ['no name', { metadata: {} }, /metadata\.name/],
  ['too large', { stringData: { a: 'x'.repeat(1024 * 1024 + 1) } }, /larger than 1 MiB/],
];
for (const [name, over, message] of invalid) {
  test(`a Secret is refused: ${name}`, () => {
    assert.throws(
      () => secretOf(manifest(over)),
      (error) => error instanceof Error && message.test(error.message) && !error.message.includes(value),
    );
  });
}

test('only v1 Secrets are Secrets', () => {
  assert.ok(isSecret(manifest({})));
  for (const other of [null, [], 'x', { kind: 'Secret' }, { apiVersion: 'v2', kind: 'Secret' }]) assert.ok(!isSecret(other));
});

test('mounted files, also the way a kubelet lays them out', () => {
  const secret = join(dir, 'shop', 'db');
  mkdirSync(join(secret, '..2026'), { recursive: true });
  writeFileSync(join(secret, '..2026', 'password'), `${value}\n`, { mode: 0o600 });
  symlinkSync('..2026', join(secret, '..data'));
  symlinkSync('..data/password', join(secret, 'password'));
  writeFileSync(join(secret, 'ca.crt'), 'PEM\r\n\n', { mode: 0o600 });
  const read = readMountedSecrets(dir);
  const store = createCredentialStore(read.secrets);
  assert.equal(store.get('shop', 'db', 'password').toString(), value);
  assert.equal(store.get('shop', 'db', 'ca.crt').toString(), 'PEM\r\n');
  assert.deepEqual([...(read.secrets.get('shop/db')?.keys() ?? [])], ['ca.crt', 'password']);
  assert.deepEqual(read.worldReadable, []);
  chmodSync(join(secret, '..2026', 'password'), 0o644);
  assert.deepEqual(readMountedSecrets(dir).worldReadable, [join(secret, 'password')]);
});

test('a folder that is not there is an error', () => {
  assert.throws(() => readMountedSecrets(join(dir, 'none')), { name: 'CredentialError', code: 'Unreadable' });
});
