/** A sidecar's part and an operator's in one process, recording without end, until it is killed. Says what was recorded. For upload.test.ts. */
import { randomUUID } from 'node:crypto';
import { readFileSync, writeSync } from 'node:fs';
import { permitFor, START, sql } from '#sidecar/record/testing.ts';
import { childWorld } from './testing.ts';

const [file = ''] = process.argv.slice(2);
const { recordings } = await childWorld(JSON.parse(readFileSync(file, 'utf8')) as Parameters<typeof childWorld>[0]);
for (let i = 0; ; i++) {
  const session = await recordings.open(START, randomUUID());
  for (let statement = 0; statement < 5; statement++) {
    const { seq } = session.permit(permitFor('x'), sql(`select ${i}, ${statement}`));
    writeSync(1, `${session.session} ${seq}\n`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  if (i % 2 === 0) void session.end('client');
}
