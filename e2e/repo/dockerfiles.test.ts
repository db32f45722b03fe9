import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from './tree.ts';

const GOLDEN = join(ROOT, 'operator/admission/inject/testdata');

/** Programs of `dist` that the Dockerfile puts into /app. */
async function copied(dockerfile: string): Promise<string[]> {
  const text = await readFile(join(ROOT, dockerfile), 'utf8');
  const lines = text.split('\n').filter((line) => /^COPY --from=build .* \/app\/$/.test(line));
  return lines.flatMap((line) => [...line.matchAll(/\/src\/dist\/(\S+\.js)/g)].map(([, name]) => name ?? ''));
}

test("the sidecar's Dockerfile puts into the image every program that an injected pod starts", async () => {
  const pods = await Promise.all((await readdir(GOLDEN)).map((name) => readFile(join(GOLDEN, name), 'utf8')));
  const started = new Set(pods.flatMap((pod) => [...pod.matchAll(/\/app\/([a-z-]+\.js)\b(?!on)/g)].map(([, name]) => name ?? '')));
  assert.ok(started.has('sidecar.js') && started.has('confine.js'), `the golden pods start ${[...started].join(', ')}`);
  const programs = await copied('sidecar/Dockerfile');
  assert.deepEqual(
    [...started].filter((name) => !programs.includes(name)),
    [],
  );
});

test("the operator's Dockerfile puts the operator into the image", async () => {
  assert.deepEqual(await copied('operator/Dockerfile'), ['operator.js']);
});
