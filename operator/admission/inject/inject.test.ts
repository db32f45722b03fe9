/** Golden pods: `node operator/admission/inject/inject.test.ts --update` writes what is expected anew; read the difference before you commit it. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { injectionProblems } from '../injection-rules.ts';
import { inject, injectedPod } from './inject.ts';
import { patchBetween } from './patch.ts';
import type { Pod } from './pod.ts';
import { contextWith, type Loose } from './testing.ts';

const FOLDER = join(import.meta.dirname, 'testdata');
const UPDATE = process.argv.includes('--update');
const cases = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.yaml'))
  .map((name) => ({ name: name.slice(0, -5), ...(parse(readFileSync(join(FOLDER, name), 'utf8')) as Case) }));

interface Case {
  readonly about: string;
  readonly context?: Parameters<typeof contextWith>[0];
  readonly pod: Pod;
}

for (const { name, about, context: overrides, pod } of cases) {
  const context = contextWith(overrides);
  test(`${name}: ${about}`, () => {
    const file = join(FOLDER, `${name}.json`);
    const result = inject(pod, context);
    const text = `${JSON.stringify(result, null, 2)}\n`;
    if (UPDATE) writeFileSync(file, text);
    assert.ok(text === readFileSync(file, 'utf8'), `${name}.json is not what came out; run with --update, and look at git diff`);
    assert.equal(result.type === 'refused', name.startsWith('refused-'));
  });

  if (name.startsWith('refused-') || name === 'opted-out') continue;

  test(`${name}: injected again, nothing changes; and the guard finds nothing`, () => {
    const { injected } = injectedPod(pod, context);
    const again = inject(injected, context);
    assert.deepEqual(again.type === 'patch' && again.patch, []);
    assert.deepEqual(injectionProblems(injected, context), []);
  });

  test(`${name}: the patch makes the pod`, () => {
    const { injected } = injectedPod(pod, context);
    assert.deepEqual(applied(pod, patchBetween(pod, injected)), JSON.parse(JSON.stringify(injected)));
  });
}

/** RFC 6902 for the three operations, as the API server does them. */
function applied(value: unknown, patch: ReturnType<typeof patchBetween>): unknown {
  const root = { value: structuredClone(value) };
  for (const operation of patch) {
    const steps = operation.path.split('/').map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
    const last = steps.pop() ?? '';
    const parent = steps.reduce<Loose>((at, step) => at[step === '' ? 'value' : step], root);
    if (operation.op === 'remove') delete parent[last];
    else parent[last === '' ? 'value' : last] = operation.value;
  }
  return JSON.parse(JSON.stringify(root.value));
}
