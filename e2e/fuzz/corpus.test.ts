import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadParser } from '#sidecar/wire/postgres/sql/parse.ts';
import { readCorpus, readFindings } from './corpus.ts';
import { TARGETS } from './targets.ts';

await loadParser();

for (const { name, run, seeds } of TARGETS) {
  test(`what fuzzing kept of ${name} breaks nothing`, async () => {
    const inputs = [...seeds, ...(await readCorpus(name))];
    assert.ok(inputs.length > seeds.length, 'the corpus is not there');
    for (const input of inputs) run(input);
  });
}

test('what broke something once', async () => {
  for (const { target, input } of await readFindings()) TARGETS.find(({ name }) => name === target)?.run(input);
});
