import assert from 'node:assert/strict';
import { test } from 'node:test';
import { violations } from './import-table.ts';
import { sourceFiles } from './tree.ts';

const tree = await sourceFiles();

test('every import in the tree is in the table', () => {
  assert.ok(tree.size > 50);
  assert.deepEqual(violations(tree), []);
});

/** Each breaks the table when it is added to a file of the tree, and is named with its file and line. */
const PLANTED: readonly (readonly [path: string, line: string, said: RegExp])[] = [
  ['crds/policy/action.ts', "import { readFileSync } from 'node:fs';", /crds may not import node:fs/],
  ['crds/policy/action.ts', "import { parse } from 'yaml';", /crds may not import the package yaml/],
  ['crds/policy/action.ts', "import type { Permit } from '#sidecar/permit.ts';", /crds may not import sidecar\/permit\.ts/],
  ['crds/policy/action.ts', "export type { Permit } from '../../sidecar/permit.ts';", /crds may not import sidecar\/permit\.ts/],
  ['crds/policy/action.ts', "export * from '#operator/compile/compile.ts';", /crds may not import operator\/compile/],
  ['crds/policy/action.ts', "type P = import('#sidecar/permit.ts').Permit;", /crds may not import sidecar\/permit\.ts/],
  ['crds/policy/action.ts', "const os = await import('node:os');", /crds may not import node:os/],
  ['crds/policy/action.ts', "const fs = require('node:fs');", /crds may not import node:fs/],
  ['sidecar/permit.ts', "import { compile } from '#operator/compile/compile.ts';", /may not import operator\/compile/],
  ['sidecar/start.ts', "import { compile } from '#operator/compile/compile.ts';", /sidecar\/start\.ts may not import operator/],
  ['operator/compile/compile.ts', "import { decide } from '#sidecar/decide/decide.ts';", /operator\/compile may not import sidecar/],
  ['operator/compile/compile.ts', "import { readFile } from 'node:fs/promises';", /operator\/compile may not import node:fs\/promises/],
  [
    'sidecar/wire/postgres/frame.ts',
    "import type { Connection } from '#sidecar/pipeline.ts';",
    /sidecar\/wire\/postgres may not import sidecar\/pipeline\.ts/,
  ],
  ['sidecar/wire/postgres/frame.ts', "import { connect } from 'node:net';", /may not import node:net/],
  ['sidecar/wire/http/planted.ts', "import { parse } from '../postgres/frame.ts';", /may not import sidecar\/wire\/postgres\/frame\.ts/],
  ['sidecar/decide/decide.ts', "import { dial } from '../upstream/dial.ts';", /sidecar\/decide may not import sidecar\/upstream/],
  ['sidecar/identity/token.ts', "import { decide } from '#sidecar/decide/decide.ts';", /sidecar\/identity may not import sidecar\/decide/],
  [
    'sidecar/decide/decide.ts',
    "import { postgres } from '../protocols/postgres/driver.ts';",
    /sidecar\/decide may not import sidecar\/protocols/,
  ],
  ['sidecar/decide/decide.ts', "import pino from 'pino';", /may not import the package pino/],
  ['sidecar/upstream/dial.ts', "import { Parser } from 'pg-protocol';", /may not import the package pg-protocol/],
  ['sidecar/upstream/dial.ts', "import { makePermit } from '../permit.ts';", /makePermit is for sidecar\/decide alone/],
  ['sidecar/upstream/dial.ts', "import { makePermit as allow } from '../permit.ts';", /makePermit is for sidecar\/decide alone/],
  ['sidecar/protocols/hold.ts', "import * as permits from '#sidecar/permit.ts';", /makePermit is for sidecar\/decide alone/],
  ['sidecar/protocols/hold.ts', "export * from '../permit.ts';", /makePermit is for sidecar\/decide alone/],
  ['sidecar/protocols/hold.ts', "const { makePermit } = await import('../permit.ts');", /makePermit is for sidecar\/decide alone/],
  ['sidecar/decide/decide.ts', "import { recorded } from '../permit.ts';", /recorded is for sidecar\/record alone/],
  ['sidecar/start.ts', "import './main.ts';", /sidecar\/main\.ts is an entry point/],
  ['sidecar/start.ts', "new Worker(new URL('./main.ts', import.meta.url));", /sidecar\/main\.ts is an entry point/],
  ['cli/planted.ts', "import { main } from './main.ts';", /cli\/main\.ts is an entry point/],
  ['cli/planted.test.ts', "import { main } from './main.ts';", /cli\/main\.ts is an entry point/],
  ['sidecar/start.ts', 'const driver = await import(`./protocols/${name}/driver.ts`);', /has to be a plain string/],
  ['sidecar/start.ts', "import { startPostgres } from '#e2e/postgres/server.ts';", /e2e\/postgres\/server\.ts is for tests/],
  ['cli/planted.ts', "import { helper } from './launch.test.ts';", /cli\/launch\.test\.ts is for tests/],
  ['newfolder/planted.ts', "import { readFile } from 'node:fs';", /this folder is not in the import table/],
];

for (const [path, line, said] of PLANTED) {
  test(`caught: ${line} in ${path}`, () => {
    const before = tree.get(path) ?? '';
    const found = violations(new Map<string, string>([[path, `${before}\n${line}\n`]]));
    const [first = ''] = found;
    assert.equal(found.length, 1, found.join('\n'));
    assert.match(first, said);
    assert.ok(first.startsWith(`${path}:${before.split('\n').length + 1}: `), first);
  });
}

test('a test may import what it wants, and start an entry point as a process', () => {
  const text = "import { makePermit } from '#sidecar/permit.ts';\nimport { Client } from 'pg';\nnew URL('./main.ts', import.meta.url);\n";
  assert.deepEqual(violations(new Map([['cli/planted.test.ts', text]])), []);
});

test('a file that cannot be parsed is an error, not a pass', () => {
  assert.throws(() => violations(new Map([['cli/planted.ts', 'import {']])), SyntaxError);
});
