import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { FINDING_CODES } from './finding.ts';

it('docs/recording.md lists every finding, and no other', () => {
  const text = readFileSync(join(import.meta.dirname, '../../docs/recording.md'), 'utf8');
  const listed = [...text.slice(text.indexOf('### Findings')).matchAll(/^\| `(\w+)` \|/gm)].map(([, code = '']) => code);
  assert.deepEqual(listed.toSorted(), FINDING_CODES.toSorted());
});
