import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { DeleteObjectCommand, ListObjectVersionsCommand } from '@aws-sdk/client-s3';
import { headFile, ledgerChunkFile, NO_HASH } from '#crds/record/format.ts';
import type { SlotAnswer } from '#operator/records/records.ts';
import { type Bucket, CLUSTER, keysOf, newPeer, startWorld, type World } from './testing.ts';

let world: World;
before(async () => {
  world = await startWorld();
});
after(() => world.close());

const BYTES = Buffer.from('what was recorded\n');

function segment(namespace = 'shop', cluster = CLUSTER): string {
  return `date=2026-01-01/cluster=${cluster}/namespace=${namespace}/session=${randomUUID()}/segment-000001.jsonl.zst`;
}

function asked(path: string, recorder: string, bytes: Uint8Array = BYTES, mayBeStored = false) {
  return { path, recorder, sha256: createHash('sha256').update(bytes).digest(), sizeBytes: BigInt(bytes.length), mayBeStored };
}

function put(slot: SlotAnswer | undefined, body: Uint8Array = BYTES, without = ''): Promise<Response> {
  const headers = Object.fromEntries(Object.entries(slot?.headers ?? {}).filter(([name]) => name !== without && name !== 'content-length'));
  return fetch(slot?.url ?? '', { method: 'PUT', body: Uint8Array.from(body), headers, redirect: 'error' });
}

async function only(answer: Promise<{ readonly slots: readonly SlotAnswer[] }>): Promise<SlotAnswer | undefined> {
  return (await answer).slots[0];
}

describe('a slot', () => {
  for (const lockDays of [0, 1]) {
    it(`takes one object once, just these bytes, under this name (lock: ${lockDays} days)`, async () => {
      const bucket = await world.bucket({ lock: lockDays > 0, lockDays });
      const operator = await world.operator(bucket);
      assert.deepEqual(operator.bucket, { ready: true });
      const [peer, recorder, path] = [newPeer(), randomUUID(), segment()];
      const slot = await only(operator.slots(peer, { objects: [asked(path, recorder)] }));
      assert.equal(slot?.refusal, '');
      assert.equal((await put(slot, BYTES, 'if-none-match')).status, 403);
      assert.ok((await put(slot, Buffer.from('what was recordeD\n'))).status >= 400, 'other bytes');
      assert.ok((await put(slot, Buffer.from('longer than what was recorded\n'))).status >= 400, 'longer');
      assert.equal((await put({ ...slot, url: slot.url.replace('segment-000001', 'segment-000002') })).status, 403);
      assert.equal((await put(slot)).status, 200);
      assert.equal((await put(slot)).status, 412);
      assert.equal((await keysOf(bucket)).filter((key) => key === path).length, 1);
      if (lockDays > 0) {
        const { VersionId } = await firstVersion(bucket, path);
        const remove = new DeleteObjectCommand({ Bucket: bucket.name, Key: `prod/${path}`, VersionId });
        await assert.rejects(world.client.send(remove), { name: 'AccessDenied' });
      }
    });
  }

  it('is had with the credentials that the SDK finds, and locks in the mode that was asked for', async () => {
    const bucket = await world.bucket({ lock: true, lockDays: 1 });
    const { credentialsDir: _, ...settings } = bucket.settings;
    const operator = await world.operator({ ...bucket, settings: { ...settings, objectLockMode: 'GOVERNANCE' } });
    assert.deepEqual(operator.bucket, { ready: true });
    const path = segment();
    const slot = await only(operator.slots(newPeer(), { objects: [asked(path, randomUUID())] }));
    assert.equal(slot?.headers['x-amz-object-lock-mode'], 'GOVERNANCE');
    assert.equal((await put(slot)).status, 200);
    const Key = `prod/${path}`;
    const { VersionId } = await firstVersion(bucket, path);
    const remove = new DeleteObjectCommand({ Bucket: bucket.name, Key, VersionId });
    await assert.rejects(world.client.send(remove), { name: 'AccessDenied' });
  });

  it('is good for two minutes', async () => {
    const bucket = await world.bucket();
    const past = await world.operator(bucket, { clock: () => Date.now() - 125_000 });
    const slot = await only(past.slots(newPeer(), { objects: [asked(segment(), randomUUID())] }));
    assert.equal((await put(slot)).status, 403);
    assert.deepEqual(
      (await keysOf(bucket)).filter((key) => key.startsWith('date=')),
      [],
    );
  });

  it('tells what is stored: the same, or another', async () => {
    const operator = await world.operator(await world.bucket());
    const [peer, recorder, path] = [newPeer(), randomUUID(), segment()];
    assert.equal((await put(await only(operator.slots(peer, { objects: [asked(path, recorder, BYTES, true)] })))).status, 200);
    const same = await only(operator.slots(peer, { objects: [asked(path, recorder, BYTES, true)] }));
    assert.deepEqual([same?.stored, same?.url, same?.refusal], [true, '', '']);
    const other = await only(operator.slots(peer, { objects: [asked(path, recorder, Buffer.from('other'), true)] }));
    assert.match(other?.refusal ?? '', /^StoredDifferently: /);
  });
});

async function firstVersion(bucket: Bucket, path: string): Promise<{ VersionId: string }> {
  const listed = await world.client.send(new ListObjectVersionsCommand({ Bucket: bucket.name, Prefix: `prod/${path}` }));
  return { VersionId: listed.Versions?.[0]?.VersionId ?? '' };
}

describe('no slot is given', () => {
  const recorder = randomUUID();
  const cases: readonly (readonly [string, Parameters<typeof asked>, RegExp])[] = [
    ['in another cluster', [segment('shop', 'other'), recorder], /^ClusterForeign/],
    ['in a namespace that the policy does not have', [segment('kube-system'), recorder], /^NamespaceForeign/],
    ['for an open segment', [segment().replace('.jsonl.zst', '.open.jsonl'), recorder], /^PathInvalid/],
    ['above the prefix', [`../${segment()}`, recorder], /^PathInvalid/],
    ['for a countersigned head', [headFile(recorder, 1), recorder], /^PathInvalid/],
    ['for the ledger of another recorder', [ledgerChunkFile(randomUUID(), 1), recorder], /^RecorderForeign/],
    ['for nothing', [segment(), recorder, Buffer.alloc(0)], /^SizeInvalid/],
    ['for what is no recorder', [segment(), 'x'], /^PathInvalid/],
  ];
  for (const [name, object, refusal] of cases) {
    it(name, async () => {
      const refused: string[] = [];
      const operator = await world.operator(await world.bucket(), { observe: { refused: (code) => refused.push(code) } });
      const slot = await only(operator.slots(newPeer(), { objects: [asked(...object)] }));
      assert.match(slot?.refusal ?? '', refusal);
      assert.equal(slot?.url, '');
      assert.equal(refused.length, 1);
    });
  }

  it('to another pod than the recorder’s, also by another replica', async () => {
    const bucket = await world.bucket();
    const [one, other] = [await world.operator(bucket), await world.operator(bucket)];
    const mine = randomUUID();
    assert.equal((await only(one.slots(newPeer(), { objects: [asked(ledgerChunkFile(mine, 1), mine)] })))?.refusal, '');
    const stolen = await only(other.slots(newPeer(), { objects: [asked(ledgerChunkFile(mine, 2), mine)] }));
    assert.match(stolen?.refusal ?? '', /^RecorderForeign: /);
  });

  it('before the policy of the caller is known', async () => {
    const operator = await world.operator(await world.bucket(), { namespaces: () => null });
    assert.match((await only(operator.slots(newPeer(), { objects: [asked(segment(), recorder)] })))?.refusal ?? '', /^NotSynced: /);
  });

  it('to a pod that asks for too much in a minute', async () => {
    const operator = await world.operator(await world.bucket());
    const [peer, id] = [newPeer(), randomUUID()];
    const large = { ...asked(segment(), id), sizeBytes: 64n * 1024n * 1024n };
    const many = { objects: Array.from({ length: 20 }, () => ({ ...large, path: segment() })) };
    assert.equal((await operator.slots(peer, many)).slots[0]?.refusal, '');
    const refusal = (await operator.slots(peer, many)).slots[0]?.refusal ?? '';
    assert.match(refusal, /^RateLimited: /);
    assert.equal((await only(operator.slots(newPeer(), { objects: [asked(segment(), randomUUID())] })))?.refusal, '');
  });

  it('to a pod that begins one recorder after the other: each would leave an object for ever', async () => {
    const bucket = await world.bucket();
    const operator = await world.operator(bucket);
    const peer = newPeer();
    const begin = async () => (await only(operator.slots(peer, { objects: [asked(segment(), randomUUID())] })))?.refusal ?? '';
    const answers: string[] = [];
    for (let i = 0; i < 62; i++) answers.push(await begin());
    assert.deepEqual(new Set(answers.slice(0, 60)), new Set(['']));
    assert.match(answers[61] ?? '', /^RateLimited: more than 60 recorders/);
    assert.equal((await keysOf(bucket)).filter((key) => key.startsWith('heads/')).length, 60);
  });

  it('in a bucket without versions, or without the lock that is wanted, or that is not there', async () => {
    const plain = await world.bucket({ versions: false });
    const unlocked = await world.bucket({ lockDays: 1 });
    const gone = { ...plain, settings: { ...plain.settings, url: 's3://no-such-bucket/prod' } };
    for (const [bucket, reason] of [
      [plain, 'VersioningOff'],
      [unlocked, 'ObjectLockOff'],
      [gone, 'Unreachable'],
    ] as const) {
      const operator = await world.operator(bucket);
      assert.equal(operator.bucket.ready ? '' : operator.bucket.reason, reason);
      const slot = await only(operator.slots(newPeer(), { objects: [asked(segment(), recorder)] }));
      assert.equal(slot?.refusal, `BucketNotReady: ${reason}`);
      await assert.rejects(operator.countersign(newPeer(), { recorder, entries: 1n, head: 'a'.repeat(64) }), { code: 'BucketNotReady' });
    }
  });
});

describe('a head', () => {
  const [first, second] = ['a'.repeat(64), 'b'.repeat(64)];

  it('is never signed again with fewer entries, or another hash; not by another replica either', async () => {
    const bucket = await world.bucket();
    const [one, other] = [await world.operator(bucket), await world.operator(bucket)];
    const [peer, recorder] = [newPeer(), randomUUID()];
    const signed = await one.countersign(peer, { recorder, entries: 5n, head: first });
    const again = await other.countersign(peer, { recorder, entries: 5n, head: first });
    assert.deepEqual(Buffer.from(again.statement), Buffer.from(signed.statement));
    for (const operator of [one, other]) {
      await assert.rejects(operator.countersign(peer, { recorder, entries: 5n, head: second }), { code: 'HeadGoesBack' });
      await assert.rejects(operator.countersign(peer, { recorder, entries: 4n, head: second }), { code: 'HeadGoesBack' });
      await assert.rejects(operator.countersign(newPeer(), { recorder, entries: 6n, head: second }), { code: 'RecorderForeign' });
    }
    await other.countersign(peer, { recorder, entries: 7n, head: second });
    await assert.rejects(one.countersign(peer, { recorder, entries: 6n, head: second }), { code: 'HeadGoesBack' });
    const heads = (await keysOf(bucket)).filter((key) => key.startsWith('heads/'));
    assert.deepEqual(heads.toSorted(), [headFile(recorder, 0), headFile(recorder, 5), headFile(recorder, 7)]);
  });

  it('that is none is refused', async () => {
    const operator = await world.operator(await world.bucket());
    for (const [entries, head] of [
      [0n, NO_HASH],
      [-1n, first],
      [1n, 'x'],
      [10n ** 12n, first],
    ] as const)
      await assert.rejects(operator.countersign(newPeer(), { recorder: randomUUID(), entries, head }), { code: 'HeadInvalid' });
  });
});
