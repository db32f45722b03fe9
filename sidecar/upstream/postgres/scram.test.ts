import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, type KeyObject, sign, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { startPostgres } from '#e2e/postgres/server.ts';
import {
  bitString,
  boolean,
  integer,
  objectIdentifier,
  octetString,
  sequence,
  set,
  tagged,
  time,
  utf8String,
} from '#sidecar/listener/der.ts';
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

/** A certificate for 127.0.0.1 that signs itself. */
function selfSigned(keys: { publicKey: KeyObject; privateKey: KeyObject }, algorithm: Buffer, hash: string | null): string {
  const name = sequence(set(sequence(objectIdentifier('2.5.4.3'), utf8String('test'))));
  const isCa = sequence(objectIdentifier('2.5.29.19'), octetString(sequence(boolean(true))));
  const address = sequence(objectIdentifier('2.5.29.17'), octetString(sequence(tagged(0x87, Buffer.from([127, 0, 0, 1])))));
  const body = sequence(
    tagged(0xa0, integer(Buffer.from([2]))),
    integer(Buffer.from([1])),
    algorithm,
    name,
    sequence(time(new Date(Date.now() - 60_000)), time(new Date(Date.now() + 3_600_000))),
    name,
    keys.publicKey.export({ type: 'spki', format: 'der' }),
    tagged(0xa3, sequence(isCa, address)),
  );
  return new X509Certificate(sequence(body, algorithm, bitString(sign(hash, body, keys.privateKey)))).toString();
}

const rsa = (last: number): Buffer => sequence(objectIdentifier(`1.2.840.113549.1.1.${last}`), Buffer.from([5, 0]));
const rsaKeys = () => generateKeyPairSync('rsa', { modulusLength: 2048 });

/** Certificates whose signatures name other hashes; a real server has to take the binding. */
const certificates = [
  { name: 'RSA with SHA-256', makeKeys: rsaKeys, algorithm: rsa(11), hash: 'sha256' },
  { name: 'RSA with SHA-384', makeKeys: rsaKeys, algorithm: rsa(12), hash: 'sha384' },
  { name: 'RSA with SHA-512', makeKeys: rsaKeys, algorithm: rsa(13), hash: 'sha512' },
  {
    name: 'Ed25519, which names no hash',
    makeKeys: () => generateKeyPairSync('ed25519'),
    algorithm: sequence(objectIdentifier('1.3.101.112')),
    hash: null,
  },
];
for (const { name, makeKeys, algorithm, hash } of certificates) {
  test(`channel binding with a certificate of ${name}`, async () => {
    const keys = makeKeys();
    const certPem = selfSigned(keys, algorithm, hash);
    const keyPem = keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
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
