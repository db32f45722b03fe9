import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { EVENT_CODES } from './event-codes.ts';

test('each code has its section in docs/events.md, which tells its type, and no section is without a code', () => {
  const text = readFileSync(new URL('../../docs/events.md', import.meta.url), 'utf8');
  const sections = [...text.matchAll(/^## (.+)\n\n(\w+),/gm)].map(([, name, type]) => `${name} ${type}`);
  assert.deepEqual(
    sections.sort((a, b) => a.localeCompare(b)),
    Object.entries(EVENT_CODES)
      .map(([name, { type }]) => `${name} ${type}`)
      .sort((a, b) => a.localeCompare(b)),
  );
  assert.equal(text.match(/^## /gm)?.length, sections.length);
});
