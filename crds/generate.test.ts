import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { drift, generatedFiles } from './generate.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

it('what is committed is what is generated', () => assert.deepEqual(drift(ROOT), []));

it('a change, a missing file and a stray one are drift', (t) => {
  const copy = mkdtempSync(join(tmpdir(), 'chaperone-generate-'));
  t.after(() => rmSync(copy, { recursive: true }));
  for (const path of generatedFiles().keys()) cpSync(join(ROOT, path), join(copy, path));
  assert.deepEqual(drift(copy), []);
  writeFileSync(join(copy, 'crds/manifests/stray.yaml'), '');
  writeFileSync(join(copy, 'crds/manifests/chaperone.dev_maskingrules.yaml'), 'edited by hand');
  rmSync(join(copy, 'docs/api.md'));
  assert.deepEqual(drift(copy), [
    'crds/manifests/chaperone.dev_maskingrules.yaml is out of date',
    'docs/api.md is out of date',
    'crds/manifests/stray.yaml is not generated',
  ]);
});
