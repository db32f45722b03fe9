import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { before, describe, it } from 'node:test';
import type { Certified } from '#crds/record/finding.ts';
import { Authority, newAuthorityState, rotated } from '#operator/pki/authority.ts';
import { certifier, chainOf, keyIdOf, readCertificates } from './certify.ts';

const POD = { trustDomain: 'cluster.local', namespace: 'ci', serviceAccount: 'runner', podUid: '0b5c1c52-3a2c-4c7e-9d0b-0f2f6a2f1a11' };
const { publicKey, privateKey } = generateKeyPairSync('ed25519');
const SPKI = publicKey.export({ type: 'spki', format: 'der' });

let authority: Authority;
before(async () => {
  authority = new Authority(await newAuthorityState(Date.now()));
});

function check(bundle: string, pem: string, keyId = keyIdOf(publicKey)): Certified & { readonly learnt: readonly string[] } {
  const learnt: string[] = [];
  const certified = certifier(readCertificates(bundle), (id) => learnt.push(id))(chainOf(pem), keyId);
  return { ...certified, learnt };
}

describe('a chain', () => {
  it('proves a recorder’s key, and whose it is', async () => {
    const found = check(authority.bundle, await authority.recording(POD, SPKI, Date.now()));
    assert.equal(found.type, 'certified');
    if (found.type !== 'certified') return;
    const { namespace, serviceAccount, podUid } = POD;
    assert.deepEqual(found.owner, { type: 'recorder', namespace, serviceAccount, podUid });
    assert.deepEqual(found.learnt, [keyIdOf(publicKey)]);
    assert.equal(found.verify(Buffer.from('x'), sign(null, Buffer.from('x'), privateKey)), true);
    assert.equal(found.verify(Buffer.from('y'), sign(null, Buffer.from('x'), privateKey)), false);
    assert.ok(found.notBefore < found.notAfter);
  });

  it('proves the operator’s key, which then is no recorder’s', async () => {
    const { chain } = await authority.countersigner('cluster.local', Date.now());
    const found = check(authority.bundle, chain, keyIdOf(readCertificates(chain)[0]?.publicKey ?? publicKey));
    assert.deepEqual([found.type, found.learnt], ['certified', []]);
    assert.equal(found.type === 'certified' && found.owner.type, 'authority');
  });

  it('leads to the CA before, after a rotation', async () => {
    const before = authority.bundle;
    const next = new Authority(await rotated(authority.state, Date.now()));
    const pem = await next.recording(POD, SPKI, Date.now());
    assert.equal(check(before, pem).type, 'certified');
    assert.equal(check(next.bundle, pem).type, 'certified');
    assert.equal(check(before, chainOf(pem)[0] ?? '').type, 'refused', 'without what leads there');
  });

  const refused: readonly (readonly [string, () => Promise<readonly [bundle: string, pem: string, keyId?: string]>])[] = [
    [
      'of another CA',
      async () => [new Authority(await newAuthorityState(Date.now())).bundle, await authority.recording(POD, SPKI, Date.now())],
    ],
    [
      'that brings its own CA',
      async () => {
        const other = new Authority(await newAuthorityState(Date.now()));
        return [authority.bundle, (await other.recording(POD, SPKI, Date.now())) + other.bundle];
      },
    ],
    ['of another key', async () => [authority.bundle, await authority.recording(POD, SPKI, Date.now()), 'a'.repeat(64)]],
    ['of a server', async () => [authority.bundle, (await authority.serving(['chaperone.svc'], Date.now())).chain]],
    ['of no certificate', async () => [authority.bundle, '']],
    ['that is the CA itself', async () => [authority.bundle, authority.bundle]],
  ];
  for (const [name, make] of refused) {
    it(`${name} proves nothing`, async () => {
      const [bundle, pem, keyId] = await make();
      const found = check(bundle, pem, keyId);
      assert.deepEqual([found.type, found.learnt], ['refused', []]);
    });
  }

  it('of what is no PEM proves nothing', () => {
    assert.equal(certifier(readCertificates(authority.bundle), () => assert.fail())(['x'], 'a'.repeat(64)).type, 'refused');
  });
});
