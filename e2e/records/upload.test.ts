import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createServer } from 'node:tls';
import { DeleteObjectCommand, GetObjectCommand, ListObjectVersionsCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { openBucket } from '#cli/sessions/bucket.ts';
import { eventsOf } from '#cli/sessions/events.ts';
import { replaySession } from '#cli/sessions/replay.ts';
import { errorsOf, run } from '#cli/sessions/testing.ts';
import { signal } from '#e2e/cluster/processes.ts';
import { ownCertificate } from '#sidecar/listener/certificate.ts';
import { RecordingError } from '#sidecar/record/error.ts';
import { permitFor, START, session, sql } from '#sidecar/record/testing.ts';
import { copyOfState, keysOf, newPeer, of, type Sidecar, startSidecar, startWorld, until, verifyBucket, type World } from './testing.ts';

let world: World;
before(async () => {
  world = await startWorld();
});
after(() => world.close());

async function ended({ recordings, uploader }: Sidecar): Promise<boolean> {
  await recordings.close();
  return uploader.drain(60_000);
}

function filesOf(dir: string): readonly string[] {
  return readdirSync(join(dir, 'recordings'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => entry.name)
    .sort();
}

describe('the recordings of a pod', () => {
  it('are all in the bucket when it has ended, verify offline with the CA alone, and are gone from its disk', async () => {
    const bucket = await world.bucket({ lock: true, lockDays: 1 });
    const [operator, peer, dir] = [await world.operator(bucket), newPeer(), world.temporary()];
    const sidecar = await startSidecar(world.authority, { dir, peer, ...of(operator, peer) });
    const one = await session(sidecar.recordings, 5);
    const two = await session(sidecar.recordings, 3, 'billing');
    await two.end('client');
    await until('the first session’s segment', async () => (await keysOf(bucket)).some((key) => key.includes(one.session)));
    one.event({ type: 'note', code: 'Later', message: 'in another segment' });
    assert.equal(await ended(sidecar), true);
    const result = await verifyBucket(world, bucket);
    assert.deepEqual(result.findings, []);
    assert.deepEqual([result.code, result.sessions], [0, 2]);
    assert.equal(result.countersigned[0]?.entries, sidecar.recordings.head().entries);
    assert.deepEqual(filesOf(dir), ['ledger.jsonl']);
    const source = { url: bucket.url, endpoint: world.s3.endpoint };
    const shown = await run(replaySession, { dir: '', bucket: source, session: one.session });
    assert.equal(shown.code, 0);
    assert.match(shown.stdout, /select 4 from customers/);
    assert.match(shown.stdout, /in another segment/);
  });

  it('wait for a bucket that is down while it is used, and none of them is lost', async () => {
    const bucket = await world.bucket();
    const [operator, peer, dir] = [await world.operator(bucket), newPeer(), world.temporary()];
    const sidecar = await startSidecar(world.authority, { dir, peer, ...of(operator, peer) });
    const said: string[] = [];
    const run = { recording: true };
    const load = async () => {
      while (run.recording) {
        const one = await sidecar.recordings.open(START, crypto.randomUUID());
        for (let i = 0; i < 10; i++) {
          said.push(`${one.session} ${one.permit(permitFor('x'), sql(`select ${i}`)).seq}`);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        await one.end('client');
      }
    };
    const loads = [load(), load()];
    await until('the first segments', () => sidecar.uploader.stats().storedObjects > 3);
    signal(world.s3.dir, 's3', 'SIGSTOP');
    await new Promise((resolve) => setTimeout(resolve, 3000));
    const during = sidecar.uploader.stats();
    signal(world.s3.dir, 's3', 'SIGCONT');
    assert.ok(during.waitingSegments > 0, 'nothing waited');
    await new Promise((resolve) => setTimeout(resolve, 1000));
    run.recording = false;
    await Promise.all(loads);
    assert.equal(await ended(sidecar), true);
    const result = await verifyBucket(world, bucket);
    assert.deepEqual(result.findings, []);
    assert.ok(result.sessions > 4);
    assert.equal(new Set(said.map((line) => line.split(' ')[0])).size, result.sessions);
    // Start, ten actions and the end of each.
    assert.equal(result.events, said.length + 2 * result.sessions);
  });

  it('stay where they are without a bucket, and then nobody waits for one at the end', async () => {
    const none = () => Promise.reject(new Error('12 UNIMPLEMENTED: no bucket is configured'));
    const dir = world.temporary();
    const sidecar = await startSidecar(world.authority, { dir, peer: newPeer(), slots: none, countersign: none });
    await (await session(sidecar.recordings, 1)).end('client');
    const isTold = () => sidecar.log.filter((line) => line.message.includes('the operator has no bucket')).length === 1;
    await until('the log', isTold);
    await sidecar.recordings.close();
    const started = Date.now();
    assert.equal(await sidecar.uploader.drain(30_000), false);
    assert.ok(Date.now() - started < 5000);
    assert.ok(isTold());
    assert.deepEqual(filesOf(dir), ['ledger.jsonl', 'segment-000001.jsonl.zst']);
  });

  it('come to a bucket whose certificate is of an authority that only the operator was told of; without it neither talks to it', async () => {
    const folder = world.temporary();
    const certificate = await ownCertificate(folder, [], new Date());
    const front = createServer({ cert: certificate.certificate, key: certificate.key }, (client) => {
      const { hostname, port } = new URL(world.s3.endpoint);
      const back = connect(Number(port), hostname);
      for (const socket of [client, back]) socket.on('error', () => {}).on('close', () => (socket === client ? back : client).destroy());
      client.pipe(back).pipe(client);
    });
    await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
    try {
      const bucket = await world.bucket();
      const endpoint = `https://127.0.0.1:${(front.address() as AddressInfo).port}`;
      const settings = { ...bucket.settings, endpoint };
      const untold = await world.operator({ ...bucket, settings });
      assert.deepEqual(untold.bucket.ready ? 'ready' : untold.bucket.reason, 'Unreachable');
      const operator = await world.operator({ ...bucket, settings: { ...settings, caFile: certificate.caFile } });
      assert.deepEqual(operator.bucket, { ready: true });
      const peer = newPeer();
      const sidecar = await startSidecar(world.authority, { dir: world.temporary(), peer, ...of(operator, peer) });
      await (await session(sidecar.recordings, 2)).end('client');
      assert.equal(await ended(sidecar), true);
      assert.deepEqual((await verifyBucket(world, bucket)).findings, []);

      // A sidecar that is not told has nothing of it: it does not trust what merely answers.
      const other = newPeer();
      const silent = {
        slots: async (request: Parameters<typeof operator.slots>[1]) => ({ slots: (await operator.slots(other, request)).slots }),
      };
      const wary = await startSidecar(world.authority, { dir: world.temporary(), peer: other, ...of(operator, other), ...silent });
      await (await session(wary.recordings, 2)).end('client');
      await until('its refusal', () => wary.uploader.stats().failures > 0);
      assert.equal(wary.uploader.stats().storedObjects, 0);
      await wary.recordings.close();
      await wary.uploader.close();
    } finally {
      front.close();
    }
  });

  it('wait, and are not given up, where the operator does not know their namespace for a while', async () => {
    const [bucket, peer, dir] = [await world.bucket(), newPeer(), world.temporary()];
    let namespaces = new Set<string>();
    const operator = await world.operator(bucket, { namespaces: () => namespaces });
    const sidecar = await startSidecar(world.authority, { dir, peer, ...of(operator, peer) });
    await (await session(sidecar.recordings, 1)).end('client');
    await until('two refusals', () => sidecar.log.filter((line) => JSON.stringify(line).includes('NamespaceForeign')).length >= 2);
    const { stuck, waitingSegments } = sidecar.uploader.stats();
    assert.deepEqual([stuck, waitingSegments], [0, 1]);
    namespaces = new Set(['shop', 'billing']);
    assert.equal(await ended(sidecar), true);
    assert.deepEqual((await verifyBucket(world, bucket)).findings, []);
  });

  it('end fail closed where more would wait than there is room for', async () => {
    const peer = newPeer();
    const dir = world.temporary();
    const gone = () => Promise.reject(new Error('the operator is gone'));
    const limits = { spoolBytes: 2000 };
    const sidecar = await startSidecar(world.authority, { dir, peer, slots: gone, countersign: gone, limits });
    const one = await session(sidecar.recordings, 1);
    for (let waiting = 1; !sidecar.uploader.isFull(); waiting++) {
      await (await session(sidecar.recordings, 3)).end('client');
      await until('the segment', () => sidecar.uploader.isFull() || sidecar.uploader.stats().waitingSegments >= waiting);
    }
    assert.throws(
      () => one.permit(permitFor('x'), sql('select 1')),
      (error) => error instanceof RecordingError && error.code === 'SpoolFull',
    );
    await assert.rejects(sidecar.recordings.open(START, crypto.randomUUID()), { code: 'SpoolFull' });
    await sidecar.recordings.close();
    assert.equal(await sidecar.uploader.drain(500), false);
    // All of it waits for the next start in the same pod.
    const bucket = await world.bucket();
    const operator = await world.operator(bucket);
    const again = await startSidecar(world.authority, { dir, peer, ...of(operator, peer) });
    assert.equal(await ended(again), true);
    assert.deepEqual((await verifyBucket(world, bucket)).findings, []);
  });
});

/** Runs the child until it has said `lines` lines, and kills it with SIGKILL. */
async function killedAfter(file: string, lines: number): Promise<readonly string[]> {
  const child: ChildProcess = spawn(process.execPath, [join(import.meta.dirname, 'upload.child.ts'), file], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  let seen = 0;
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    said += chunk;
    seen += chunk.split('\n').length - 1;
    if (seen >= lines) child.kill('SIGKILL');
  });
  const by = await new Promise((resolve) => child.on('close', (_, name) => resolve(name)));
  assert.equal(by, 'SIGKILL');
  return said.split('\n').slice(0, -1);
}

describe('kill -9', () => {
  for (const lines of [60, 400]) {
    it(`of the sidecar as it seals and uploads (after ${lines}): its next start brings all that it recorded`, async () => {
      const bucket = await world.bucket();
      const [operator, peer, dir] = [await world.operator(bucket), newPeer(), world.temporary()];
      const said = [
        ...(await killedAfter(world.childSettings(bucket, dir, peer), lines)),
        ...(await killedAfter(world.childSettings(bucket, dir, peer), lines)),
      ];
      const sidecar = await startSidecar(world.authority, { dir, peer, ...of(operator, peer) });
      assert.equal(await ended(sidecar), true);
      const result = await verifyBucket(world, bucket);
      assert.deepEqual(result.findings, []);
      const source = { url: bucket.url, endpoint: world.s3.endpoint };
      const recorded = new Set<string>();
      for (const stored of (await openBucket(source)).sessions)
        for await (const event of eventsOf(stored)) recorded.add(`${stored.place.session} ${event.seq}`);
      assert.deepEqual(
        said.filter((line) => !recorded.has(line)),
        [],
      );
    });
  }

  it('and the pod’s volume gone with it: what is missing shows as a gap, and what is there is proven', async () => {
    const bucket = await world.bucket();
    const [peer, dir] = [newPeer(), world.temporary()];
    await killedAfter(world.childSettings(bucket, dir, peer), 300);
    const result = await verifyBucket(world, bucket);
    assert.deepEqual(errorsOf(result), []);
    assert.equal(result.code, 0);
    const codes = new Set(result.findings.map((finding) => finding.code));
    assert.ok(codes.has('RecorderGap'));
    assert.ok(codes.has('SessionTailMissing'));
    assert.equal(result.countersigned.length, 1);
    assert.equal(result.countersigned[0]?.pod, `${peer.namespace}/${peer.pod}`);
  });

  it('a container that is restarted goes on where a copy of its volume is, without what was uploaded', async () => {
    const bucket = await world.bucket();
    const [operator, peer, dir] = [await world.operator(bucket), newPeer(), world.temporary()];
    const sidecar = await startSidecar(world.authority, { dir, peer, ...of(operator, peer) });
    const one = await session(sidecar.recordings, 2);
    for (let i = 0; i < 3; i++) {
      await until('a segment', async () => sidecar.uploader.stats().storedObjects > i + 1);
      one.permit(permitFor('x'), sql(`select ${i}`));
      await new Promise((resolve) => setTimeout(resolve, 700));
    }
    sidecar.recordings.flush();
    const copy = copyOfState(world, dir);
    await sidecar.uploader.close();
    const again = await startSidecar(world.authority, { dir: copy, peer, ...of(operator, peer) });
    assert.equal(await ended(again), true);
    await sidecar.recordings.close();
    const result = await verifyBucket(world, bucket);
    assert.deepEqual(result.findings, []);
    assert.equal(result.sessions, 1);
  });
});

describe('who has the bucket’s credentials', () => {
  async function recorded() {
    const bucket = await world.bucket();
    const [operator, peer, dir] = [await world.operator(bucket), newPeer(), world.temporary()];
    const sidecar = await startSidecar(world.authority, { dir, peer, ...of(operator, peer) });
    for (let i = 0; i < 2; i++) {
      await (await session(sidecar.recordings, 3)).end('client');
      await new Promise((resolve) => setTimeout(resolve, 1200));
    }
    assert.equal(await ended(sidecar), true);
    return bucket;
  }
  type Recorded = Awaited<ReturnType<typeof recorded>>;

  async function keyOf(bucket: Recorded, begin: string): Promise<string> {
    const found = (await keysOf(bucket))
      .filter((key) => key.startsWith(begin))
      .toSorted()
      .at(-1);
    assert.ok(found !== undefined);
    return `prod/${found}`;
  }
  /** Removes the versions that there were, so that the new one is the first. */
  async function replace(bucket: Recorded, Key: string, change: (bytes: Buffer) => Buffer | null): Promise<void> {
    const got = await world.client.send(new GetObjectCommand({ Bucket: bucket.name, Key }));
    const bytes = Buffer.from((await got.Body?.transformToByteArray()) ?? []);
    const listed = await world.client.send(new ListObjectVersionsCommand({ Bucket: bucket.name, Prefix: Key }));
    for (const { VersionId } of listed.Versions ?? [])
      await world.client.send(new DeleteObjectCommand({ Bucket: bucket.name, Key, VersionId }));
    const changed = change(bytes);
    if (changed !== null) await world.client.send(new PutObjectCommand({ Bucket: bucket.name, Key, Body: changed }));
  }

  it('and overwrites a recording is named, and the first version is what counts', async () => {
    const bucket = await recorded();
    const Key = await keyOf(bucket, 'date=');
    await world.client.send(new PutObjectCommand({ Bucket: bucket.name, Key, Body: 'something else' }));
    const result = await verifyBucket(world, bucket);
    assert.deepEqual(
      errorsOf(result).map((finding) => finding.code),
      ['ObjectOverwritten'],
    );
  });

  it('and deletes one is named, too', async () => {
    const bucket = await recorded();
    await world.client.send(new DeleteObjectCommand({ Bucket: bucket.name, Key: await keyOf(bucket, 'date=') }));
    assert.deepEqual(
      errorsOf(await verifyBucket(world, bucket)).map((finding) => finding.code),
      ['ObjectDeleted'],
    );
  });

  const flip = (bytes: Buffer) => {
    const changed = Buffer.from(bytes);
    const at = Math.floor(changed.length / 2);
    changed[at] = (changed[at] ?? 0) ^ 4;
    return changed;
  };
  const cases: readonly (readonly [string, string, (bytes: Buffer) => Buffer | null, RegExp])[] = [
    ['a bit in a segment', 'date=', flip, /BytesChanged|SegmentChanged/],
    ['a segment away', 'date=', () => null, /SessionMissing|SegmentMissing/],
    ['a bit in a ledger', 'ledger/', flip, /Ledger/],
    ['the last piece of a ledger away', 'ledger/', () => null, /LedgerCut/],
    ['a bit in a head', 'heads/', flip, /HeadInvalid/],
  ];
  for (const [name, begin, change, code] of cases) {
    it(`and changes ${name}, with all versions, is found out by the CA alone`, async () => {
      const bucket = await recorded();
      await replace(bucket, await keyOf(bucket, begin), change);
      const result = await verifyBucket(world, bucket);
      assert.equal(result.code, 1);
      assert.match(
        errorsOf(result)
          .map((finding) => finding.code)
          .join(' '),
        code,
      );
    });
  }

  it('has to be believed by the CA that is given: another one finds nothing proven', async () => {
    const bucket = await recorded();
    const result = await verifyBucket(world, bucket, { authorities: [await world.otherCa()] });
    assert.equal(result.code, 1);
    const codes = new Set(errorsOf(result).map((finding) => finding.code));
    for (const code of ['CertificateInvalid', 'KeyUnknown', 'HeadInvalid'] as const) assert.ok(codes.has(code), code);
  });
});
