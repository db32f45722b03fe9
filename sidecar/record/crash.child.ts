/** Records without end and says on stdout what was recorded, until it is killed. For crash.test.ts. */
import { writeSync } from 'node:fs';
import { permitFor, recorder, START, sql } from './testing.ts';

const [dir = '', segmentBytes, ...sessions] = process.argv.slice(2);
const recordings = await recorder(dir, { limits: { segmentBytes: Number(segmentBytes) } });
const recorders = await Promise.all(sessions.map((session) => recordings.open(START, session)));
for (let i = 0; ; i++) {
  for (const one of recorders) {
    const { seq } = one.permit(permitFor('x'), sql(`select ${i}`));
    writeSync(1, `${one.session} ${seq} ${i}\n`);
  }
  if (i % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
}
