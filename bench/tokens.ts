/** What a token costs the sidecar, in CPU time of one thread: `node cli/launch.mjs bench/tokens.ts`. */
import { randomBytes } from 'node:crypto';
import { createCellMask } from '#sidecar/mask/postgres/token-cell.ts';
import { Pseudonymiser, pseudonymKey } from '#sidecar/mask/pseudonym.ts';

const VALUES = 200_000;
/** Fewer than a cell remembers. */
const KNOWN = 4000;

function microseconds(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return user + system;
}

const key = pseudonymKey(randomBytes(32));
if (key === null) throw new Error('random bytes make a key');
const values = Array.from({ length: VALUES }, (_, index) => Buffer.from(`ada.lovelace${index}@mail.example.com`));
const lines = ['| strategy | a new value, µs | a known value, µs |', '| --- | --- | --- |'];
for (const type of ['Token', 'FormatPreserving'] as const) {
  const cell = { kind: 'text', padded: false, folded: false, maxLength: null } as const;
  const mask = createCellMask(cell, 0, new Pseudonymiser(key, { type, domain: 'bench' }));
  const fresh = microseconds(() => {
    for (const value of values) mask(value, 0, value.length);
  });
  const few = values.slice(0, KNOWN);
  for (const value of few) mask(value, 0, value.length);
  const known = microseconds(() => {
    for (let round = 0; round < VALUES / KNOWN; round++) for (const value of few) mask(value, 0, value.length);
  });
  lines.push(`| ${type} | ${(fresh / VALUES).toFixed(2)} | ${(known / VALUES).toFixed(2)} |`);
}
process.stdout.write(`${lines.join('\n')}\n`);
