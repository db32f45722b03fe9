import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import fc from 'fast-check';
import { recorder, recordSome, session, temporaryFolder } from '#sidecar/record/testing.ts';
import { errorsOf, verify } from './testing.ts';

function filesOf(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

async function everyFlipIsAnError(folder: string, files: readonly string[], runs: number): Promise<void> {
  await fc.assert(
    fc.asyncProperty(fc.nat(files.length - 1), fc.nat(), fc.nat(7), async (index, offset, bit) => {
      const file = files[index] ?? '';
      const before = readFileSync(file);
      const bytes = Buffer.from(before);
      const at = offset % bytes.length;
      bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
      writeFileSync(file, bytes);
      try {
        const result = await verify(folder);
        assert.equal(result.code, 1, `bit ${bit} of byte ${at} of ${file}`);
        assert.ok(
          errorsOf(result).some((finding) => finding.session !== undefined || finding.recorder !== undefined),
          'nothing is named',
        );
      } finally {
        writeFileSync(file, before);
      }
    }),
    { numRuns: runs },
  );
}

it('any one bit of any stored file, flipped, fails the verification', async (test) => {
  const { dir } = await recordSome(temporaryFolder(test));
  await everyFlipIsAnError(dir, filesOf(join(dir, 'recordings')), 400);
});

it('each bit of a seal’s and a ledger’s last bytes', async (test) => {
  const { dir } = await recordSome(temporaryFolder(test));
  for (const file of filesOf(join(dir, 'recordings')).filter((name) => name.endsWith('ledger.jsonl') || name.includes('000002'))) {
    const before = readFileSync(file);
    for (let bit = 0; bit < 16; bit++) {
      const bytes = Buffer.from(before);
      const at = bytes.length - 1 - (bit >> 3);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7));
      writeFileSync(file, bytes);
      assert.equal((await verify(dir)).code, 1, `bit ${bit & 7} of byte ${at} of ${file}`);
    }
    writeFileSync(file, before);
  }
});

it('any one bit of an open segment, flipped, fails the verification', async (test) => {
  const dir = temporaryFolder(test);
  const recordings = await recorder(dir);
  test.after(() => recordings.close());
  await session(recordings, 3);
  await everyFlipIsAnError(
    dir,
    filesOf(join(dir, 'recordings')).filter((name) => name.endsWith('.open.jsonl')),
    200,
  );
});
