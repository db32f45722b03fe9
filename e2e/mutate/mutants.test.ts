import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../repo/tree.ts';
import { described, keyOf, readEquivalents } from './equivalent.ts';
import { subjects } from './files.ts';
import { applied, mutantsOf } from './mutants.ts';
import { Runner } from './run.ts';

const textsOf = (source: string): string[] => mutantsOf('a.ts', source).map((mutant) => applied(source, mutant));

for (const [source, mutants] of [
  ['if (a) b;', ['if (false) b;', 'if (true) b;']],
  ['f(a && b && c);', [';', 'f(a && b);', 'f(a && c);', 'f(b && c);']],
  ['const x = a() ?? b();', ['const x = a();', 'const x = b();']],
  ['const x = a < b;', ['const x = a <= b;']],
  ['const x = a !== "<";', ['const x = a === "<";']],
  ['const x = !a;', ['const x = a;']],
  ['const x = a ? 1 : 2;', ['const x = !(a) ? 1 : 2;']],
  ['const x = true as boolean;', ['const x = false as boolean;']],
  ['throw new Error("a" + b);', [';']],
  ['const x = new Set(["a", "b"]);', ['const x = new Set(["a"]);', 'const x = new Set(["b"]);', 'const x = new Set([]);']],
  ['const x = words(`a b`);', ["const x = words('');"]],
  ['const x = /^(a|b$)/;', ['const x = /^(a)/;', 'const x = /^(b$)/;']],
  ['const x = a.every(f);', ['const x = a.some(f);']],
  ['switch (a) { case 1: break; default: a satisfies never; }', []],
  ['type A = { b: true }; import { c } from "d";', []],
] as const) {
  test(`mutants of ${source}`, () => assert.deepEqual(textsOf(source).sort(), [...mutants].sort()));
}

test('each mutant that is explained is still one of its file, and has a reason', async () => {
  const known = new Map<string, Set<string>>();
  for (const { file } of await subjects()) {
    const source = await readFile(join(ROOT, file), 'utf8');
    known.set(file, new Set(mutantsOf(file, source).map((mutant) => keyOf(described(file, source, mutant)))));
  }
  const stale = (await readEquivalents()).filter((item) => known.get(item.file)?.has(keyOf(item)) !== true || item.reason.length < 10);
  assert.deepEqual(stale, []);
});

test('a mutant is noticed by the tests that run it, and a harmless change is not', async () => {
  const runner = await Runner.start();
  try {
    const file = 'sidecar/decide/decide.ts';
    const tests = 'sidecar/decide/decide.test.ts';
    const source = await readFile(join(ROOT, file), 'utf8');
    const open = source.replace('policy === null ? why() : policy.judge(input)', 'why()');
    assert.notEqual(open, source);
    assert.equal(await runner.mutant(tests, file, open, 60_000), 'failed');
    assert.equal(await runner.mutant(tests, file, `${source}\n`, 60_000), 'passed');
  } finally {
    await runner.stop();
  }
});
