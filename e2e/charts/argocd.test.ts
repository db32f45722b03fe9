/** The health check for Argo CD, run by the Lua that Argo CD's own is a port of. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { parse } from 'yaml';
import { ROOT } from '#e2e/repo/tree.ts';

const FOLDER = join(ROOT, 'charts/argocd');
const SCRIPT = readFileSync(join(FOLDER, 'health.lua'), 'utf8');

for (const name of readdirSync(join(FOLDER, 'testdata'))) {
  const text = readFileSync(join(FOLDER, 'testdata', name), 'utf8');
  const [, expected] = /^# expect: (.*)\n/.exec(text) ?? [];
  it(`${name.replace('.yaml', '')}: ${expected}`, () => assert.equal(health(parse(text)), expected));
}

it('every kind has cases', () => {
  const names = readdirSync(join(FOLDER, 'testdata'));
  for (const kind of ['protectedresource', 'accesspolicy', 'maskingrule', 'approvalgate'])
    assert.ok(names.filter((name) => name.startsWith(`${kind}-`)).length >= 5, kind);
});

function health(object: unknown): string {
  const program = `obj = ${lua(object)}\nlocal hs = (function()\n${SCRIPT}\nend)()\nio.write(hs.status .. ": " .. hs.message)`;
  return execFileSync('lua5.1', ['-'], { input: program, encoding: 'utf8' });
}

/** A value of JSON as a Lua expression. */
function lua(value: unknown): string {
  if (Array.isArray(value)) return `{${value.map(lua).join(', ')}}`;
  if (typeof value === 'object' && value !== null)
    return `{${Object.entries(value)
      .map(([key, member]) => `[${lua(key)}] = ${lua(member)}`)
      .join(', ')}}`;
  if (value === null || value === undefined) return 'nil';
  return typeof value === 'string' ? `"${value.replace(/["\\]/g, '\\$&').replaceAll('\n', '\\n')}"` : String(value);
}
