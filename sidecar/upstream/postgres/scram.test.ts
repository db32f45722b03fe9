import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startPostgres } from '#e2e/postgres/server.ts';
import { makePermit, recorded } from '#sidecar/permit.ts';
import { connectPostgres } from './login.ts';
import { saslprep } from './saslprep.ts';
import { chooseMechanism, type ScramStart, scramProve, scramStart, scramVerify, tlsServerEndPoint } from './scram.ts';

test('the example of RFC 7677 section 3', async () => {
  const start: ScramStart = {
    message: 'n,,n=user,r=rOprNGfwEbeRWgbNEkqO',
    gs2Header: 'n,,',
    bare: 'n=user,r=rOprNGfwEbeRWgbNEkqO',
    nonce: 'rOprNGfwEbeRWgbNEkqO',
    binding: { type: 'none' },
  };
  const nonce = 'rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0';
  const proof = await scramProve(start, `r=${nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`, Buffer.from('pencil'));
  assert.equal(proof.message, `c=biws,r=${nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=`);
  scramVerify(proof, 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=');
  assert.throws(() => scramVerify(proof, 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G8='), { code: 'server_not_proven' });
  assert.throws(() => scramVerify(proof, 'e=invalid-proof'), { code: 'server_not_proven' });
});

test('tells a server that offers no channel binding that there could have been one', () => {
  assert.equal(scramStart('x', { type: 'bound', data: Buffer.alloc(32) }).message, 'p=tls-server-end-point,,n=,r=x');
  assert.equal(scramStart('x', { type: 'unoffered' }).message, 'y,,n=,r=x');
  assert.equal(scramStart('x', { type: 'none' }).message, 'n,,n=,r=x');
});

const prepared: [string, string, string][] = [
  ['ASCII stays', 'a B~', 'a B~'],
  ['a soft hyphen goes', 'I\u00adX', 'IX'],
  ['compatibility forms are unified', '\u00aa\u2168', 'aIX'],
  ['a no-break space is a space', 'a\u00a0b', 'a b'],
  ['what the profile prohibits is used as it is', '\u2168\u0007', '\u2168\u0007'],
  ['mixed directions are used as they are', '\u0627\u0031\u2168', '\u0627\u0031\u2168'],
  ['right to left is prepared', '\u0627\u00ad\u0628', '\u0627\u0628'],
  ['nothing left is used as it is', '\u00ad', '\u00ad'],
];
for (const [name, password, expected] of prepared) {
  test(`SASLprep: ${name}`, () => assert.deepEqual(saslprep(Buffer.from(password)), Buffer.from(expected)));
}

test('SASLprep: bytes that are no UTF-8 are used as they are', () => {
  const bytes = Buffer.from([0x61, 0xff]);
  const result = saslprep(bytes);
  assert.deepEqual(result, bytes);
  assert.notEqual(result, bytes);
});

/** Certificates whose signatures name other hashes, made by OpenSSL; a real server has to take the binding. */
const certificates = [
  { name: 'RSA with SHA-256', key: ['rsa:2048', '-sha256'], hash: 'sha256' },
  { name: 'RSA with SHA-384', key: ['rsa:2048', '-sha384'], hash: 'sha384' },
  { name: 'RSA with SHA-512', key: ['rsa:2048', '-sha512'], hash: 'sha512' },
  { name: 'Ed25519, which names no hash', key: ['ed25519'], hash: null },
];
for (const { name, key, hash } of certificates) {
  test(`channel binding with a certificate of ${name}`, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'chaperone-scram-'));
    const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
    execFileSync('openssl', ['req', '-x509', '-nodes', '-newkey', ...key, '-days', '2', ...subject, '-out', certFile, '-keyout', keyFile], {
      stdio: 'ignore',
    });
    const [certPem, keyPem] = [readFileSync(certFile, 'utf8'), readFileSync(keyFile, 'utf8')];
    rmSync(folder, { recursive: true });
    const certificate = new X509Certificate(certPem);
    assert.deepEqual(tlsServerEndPoint(certificate), hash && createHash(hash).update(certificate.raw).digest());
    const server = await startPostgres({ tls: { certPem, keyPem } });
    try {
      const verdict = { decision: 'Allow', code: 'AllowedSession', message: '', authors: [], gates: [], audit: [] } as const;
      const connection = await connectPostgres({
        recorded: recorded(makePermit({ type: 'connect' }, verdict, Buffer.alloc(0)), 1),
        address: { host: '127.0.0.1', port: server.port },
        tls: { mode: 'VerifyFull', ca: certPem },
        user: server.superuser.user,
        password: Buffer.from(server.superuser.password),
        database: server.database,
        protocol: '3.0',
        timeoutMs: 10_000,
      });
      assert.equal(connection.channelBound, hash !== null);
      connection.stream.destroy();
    } finally {
      await server.stop();
    }
  });
}

test('chooses the mechanism that is bound where both can', () => {
  assert.equal(chooseMechanism(['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256'], null)?.mechanism, 'SCRAM-SHA-256');
  assert.equal(chooseMechanism(['SCRAM-SHA-256-PLUS'], null), null);
  assert.equal(chooseMechanism([], null), null);
});
