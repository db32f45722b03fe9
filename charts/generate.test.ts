import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { drift } from './generate.ts';
import { valuesTable } from './values-table.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

it('what is committed is what is generated', () => assert.deepEqual(drift(ROOT), []));

it('a change, a missing file and a stray one are drift', (t) => {
  const copy = mkdtempSync(join(tmpdir(), 'chaperone-charts-'));
  t.after(() => rmSync(copy, { recursive: true }));
  for (const folder of ['charts', 'examples']) cpSync(join(ROOT, folder), join(copy, folder), { recursive: true });
  assert.deepEqual(drift(copy), []);
  writeFileSync(join(copy, 'charts/chaperone-crds/templates/stray.yaml'), '');
  writeFileSync(join(copy, 'charts/chaperone-crds/templates/chaperone.dev_maskingrules.yaml'), 'edited by hand');
  rmSync(join(copy, 'charts/chaperone/README.md'));
  assert.deepEqual(drift(copy), [
    'charts/chaperone-crds/templates/chaperone.dev_maskingrules.yaml is out of date',
    'charts/chaperone/README.md is out of date',
    'charts/chaperone-crds/templates/stray.yaml is not generated',
  ]);
});

it('values are listed with their defaults and what they do', () => {
  const text =
    '# -- The first.\na: 1\nb:\n  # -- Of b,\n  # on two lines.\n  c: [x]\n# Not this.\n\n# -- A map, as a whole | so.\nd:\n  e: {}\n';
  assert.deepEqual(valuesTable(text).split('\n').slice(2), [
    '| `a` | `1` | The first. |',
    '| `b.c` | `["x"]` | Of b, on two lines. |',
    '| `d` | `{"e":{}}` | A map, as a whole \\| so. |',
  ]);
});

it('a value that nobody documented is refused by its name', () => {
  assert.throws(() => valuesTable('# -- One.\na: 1\nb:\n  c: 2\n'), /b\.c is not documented/);
  assert.throws(() => valuesTable('# One.\na: {}\n'), /a is not documented/);
});
