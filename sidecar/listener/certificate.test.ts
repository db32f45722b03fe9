import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { ownCertificate, readCertificate } from './certificate.ts';

const now = new Date();
const later = (days: number): Date => new Date(now.getTime() + days * 86_400_000);
let directory = '';
beforeEach(() => {
  directory = join(mkdtempSync(join(tmpdir(), 'chaperone-tls-')), 'tls');
});
afterEach(() => rmSync(join(directory, '..'), { recursive: true }));

/** Not on every machine; TLS itself is tested beside tls.ts. */
const OPENSSL = '/usr/bin/openssl';

test('OpenSSL takes CA and leaf in its strictest mode', { skip: !existsSync(OPENSSL) && 'no openssl here' }, async () => {
  const made = await ownCertificate(directory, [], now);
  const strict = ['verify', '-x509_strict', '-purpose', 'sslserver', '-verify_hostname', 'localhost', '-CAfile', made.caFile];
  assert.match(execFileSync(OPENSSL, [...strict, join(directory, 'server.crt')], { encoding: 'utf8' }), /OK/);
});

test('makes a CA and a leaf for the names that were asked for', async () => {
  const made = await ownCertificate(directory, ['proxy.shop.svc', '10.1.2.3', '2001:db8::ff'], now);
  const leaf = new X509Certificate(made.certificate);
  const ca = new X509Certificate(made.ca);
  assert.ok(ca.ca && !leaf.ca && leaf.verify(ca.publicKey) && leaf.checkIssued(ca));
  for (const name of ['localhost', 'proxy.shop.svc']) assert.equal(leaf.checkHost(name), name);
  for (const address of ['127.0.0.1', '10.1.2.3', '::1', '2001:db8::ff']) assert.ok(leaf.checkIP(address), address);
  assert.equal(leaf.checkHost('other.example'), undefined);
});

test('keys are for their owner alone', async () => {
  await ownCertificate(directory, [], now);
  const mode = (name: string): number => statSync(join(directory, name)).mode & 0o777;
  assert.deepEqual([statSync(directory).mode & 0o777, mode('ca.key'), mode('server.key')], [0o700, 0o600, 0o600]);
});

test('keeps what is good', async () => {
  const first = await ownCertificate(directory, ['a.example'], now);
  assert.deepEqual(await ownCertificate(directory, ['a.example'], later(200)), first);
});

const renewals = [
  { name: 'it is about to end', names: ['a.example'], at: later(300), sameCa: true },
  { name: 'a name is new', names: ['a.example', 'b.example'], at: now, sameCa: true },
  { name: 'the CA is about to end', names: ['a.example'], at: later(3300), sameCa: false },
];
for (const { name, names, at, sameCa } of renewals) {
  test(`makes the leaf anew where ${name}`, async () => {
    const first = await ownCertificate(directory, ['a.example'], now);
    const second = await ownCertificate(directory, names, at);
    assert.notEqual(second.certificate, first.certificate);
    assert.equal(second.ca === first.ca, sameCa);
    assert.ok(new X509Certificate(second.certificate).verify(new X509Certificate(second.ca).publicKey));
  });
}

test('makes anew what is broken or does not belong together', async () => {
  const first = await ownCertificate(directory, [], now);
  writeFileSync(join(directory, 'server.key'), readFileSync(join(directory, 'ca.key')));
  assert.notEqual((await ownCertificate(directory, [], now)).certificate, first.certificate);
  writeFileSync(join(directory, 'ca.crt'), 'nothing');
  assert.notEqual((await ownCertificate(directory, [], now)).ca, first.ca);
});

test('reads a certificate from files, and says what is wrong with them', async () => {
  const made = await ownCertificate(directory, [], now);
  const file = (name: string): string => join(directory, name);
  assert.deepEqual(await readCertificate(file('server.crt'), file('server.key')), { certificate: made.certificate, key: made.key });
  await assert.rejects(readCertificate(file('nope.crt'), file('server.key')), { code: 'certificate', message: /nope\.crt: ENOENT/ });
  await assert.rejects(readCertificate(file('server.crt'), file('ca.key')), { message: /ca\.key is not the key of/ });
  await assert.rejects(readCertificate(file('server.key'), file('server.key')), { message: /server\.key does not hold/ });
});
