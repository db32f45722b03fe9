import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadParser } from '#sidecar/wire/postgres/sql/parse.ts';
import { readCorpus, readFindings } from './corpus.ts';
import { SessionFuzz } from './session.ts';
import { TARGETS } from './targets.ts';

await loadParser();

for (const { name, run, seeds } of TARGETS) {
  test(`what fuzzing kept of ${name} breaks nothing`, async () => {
    const inputs = [...seeds, ...(await readCorpus(name))];
    assert.ok(inputs.length > seeds.length, 'the corpus is not there');
    for (const input of inputs) await run(input);
  });
}

test('what fuzzing kept of a session breaks nothing, and neither does what broke something once', async () => {
  const session = await SessionFuzz.start();
  try {
    const { name, run, seeds } = session.target;
    const findings = (await readFindings()).filter(({ target }) => target === name).map(({ input }) => input);
    for (const input of [...seeds, ...(await readCorpus(name)), ...findings]) await run(input);
    // SHOW, and the DELETE that the policy denies.
    assert.deepEqual(await session.run(Buffer.from([0]), 10_000), ['SHOW work_mem']);
    assert.deepEqual(await session.run(Buffer.from([5]), 10_000), []);
  } finally {
    await session.stop();
  }
});

test('what broke something once', async () => {
  for (const { target, input } of await readFindings()) await TARGETS.find(({ name }) => name === target)?.run(input);
});
