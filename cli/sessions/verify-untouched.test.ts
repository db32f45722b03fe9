import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { recorder, recordSome, session } from '#sidecar/record/testing.ts';
import { errorsOf, run, verify } from './testing.ts';
import { verifyRecordings } from './verify.ts';

let dir = '';
let other = '';
let recorded: Awaited<ReturnType<typeof recordSome>>;

before(async () => {
  dir = mkdtempSync(join(tmpdir(), 'chaperone-verify-'));
  other = mkdtempSync(join(tmpdir(), 'chaperone-verify-'));
  recorded = await recordSome(dir);
  await recordSome(other);
});
after(() => {
  rmSync(dir, { recursive: true, force: true });
  rmSync(other, { recursive: true, force: true });
});

describe('an untouched recording', () => {
  it('verifies on a copy of the recordings folder, with the public key alone', async () => {
    const copy = mkdtempSync(join(tmpdir(), 'chaperone-verify-'));
    cpSync(join(dir, 'recordings'), copy, { recursive: true });
    const result = await verify(copy, { publicKeys: [join(dir, 'keys/recording.pub.pem')] });
    rmSync(copy, { recursive: true });
    assert.deepEqual(errorsOf(result), []);
    assert.equal(result.code, 0);
    assert.equal(result.sessions, 3);
    assert.deepEqual(
      result.findings.map((finding) => finding.code),
      ['CompletenessNotProven'],
    );
  });

  it('is complete up to a head that was kept', async () => {
    const result = await verify(dir, { expectHead: recorded.head });
    assert.equal(result.code, 0);
    assert.equal(result.completeTo?.head, recorded.head);
    assert.deepEqual(result.findings, []);
  });

  it('says in words that completeness is not proven', async () => {
    const ran = await run(verifyRecordings, { dir, publicKeys: [] });
    assert.match(ran.stdout, /^VERIFIED 3 sessions/m);
    assert.match(ran.stdout, /^completeness not proven/m);
    assert.match(ran.stdout, new RegExp(`^head ${recorded.head} `, 'm'));
  });

  it('does not verify with another key', async () => {
    const result = await verify(dir, { publicKeys: [join(other, 'keys/recording.pub.pem')] });
    assert.equal(result.code, 1);
    assert.ok(errorsOf(result).some((finding) => finding.code === 'KeyUnknown'));
  });

  it('verifies while it is being written, with a warning for what is open', async (test) => {
    const live = mkdtempSync(join(tmpdir(), 'chaperone-verify-'));
    test.after(() => rmSync(live, { recursive: true, force: true }));
    const recordings = await recorder(live);
    const open = await session(recordings, 2);
    const result = await verify(live);
    assert.deepEqual(errorsOf(result), []);
    assert.ok(result.findings.some((finding) => finding.code === 'SegmentOpen' && finding.session === open.session));
    await recordings.close();
    assert.equal((await verify(live)).findings.length, 1);
  });
});

describe('wrong use', () => {
  const uses: readonly (readonly [string, Parameters<typeof verify>[1] & { dir?: string }, RegExp])[] = [
    ['a folder that is not there', { dir: '/nowhere/at/all' }, /is not a folder/],
    ['a head that is no hash', { expectHead: 'abc' }, /64 hex digits/],
    ['a key that is not there', { publicKeys: ['/nowhere/key.pem'] }, /public key \/nowhere\/key.pem can’t be read/],
    ['a key that is none', { publicKeys: [import.meta.filename] }, /no PEM public key/],
  ];
  for (const [name, options, message] of uses) {
    it(name, async () => {
      const ran = await run(verifyRecordings, { dir, publicKeys: [], ...options });
      assert.equal(ran.code, 2);
      assert.match(ran.stderr, message);
      assert.doesNotMatch(ran.stderr, /^\s+at /m);
      assert.equal(ran.stdout, '');
    });
  }
});
