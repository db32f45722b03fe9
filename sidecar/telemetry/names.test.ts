import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as names from './names.ts';

const page = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');

test('docs/metrics.md has each metric of a sidecar with its type, and no other', () => {
  const metrics = Object.values(names).filter((one) => typeof one === 'object');
  const rows = page.matchAll(/^\| `(\w+)` \| (counter|gauge) \|/gm);
  const written = [...rows].map(([, name, type]) => `${name} ${type}`);
  assert.deepEqual(written.sort(), metrics.map(({ name, type }) => `${name} ${type}`).sort());
});
