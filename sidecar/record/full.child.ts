/** Records until it can't, on a file system or under a limit that is soon full, and says on stdout what happened. For failure.test.ts. */
import { RecordingError } from './error.ts';
import { permitFor, recorder, session, sql } from './testing.ts';

const [dir = ''] = process.argv.slice(2);
const recordings = await recorder(dir);
const recording = await session(recordings, 0);
let recorded = 0;
let failed: unknown = null;
while (failed === null && recorded < 1000) {
  try {
    recorded = recording.permit(permitFor('x'), sql(`select ${recorded} ${'x'.repeat(1000)}`)).seq;
  } catch (error: unknown) {
    failed = error;
  }
}
let again: unknown = null;
try {
  recording.permit(permitFor('x'), sql('select 1'));
} catch (error: unknown) {
  again = error;
}
await recording.end('error');
await recordings.close();
const code = (error: unknown) => (error instanceof RecordingError ? error.code : String(error));
const cause = failed instanceof Error && failed.cause instanceof Error ? (failed.cause as NodeJS.ErrnoException).code : null;
console.log(JSON.stringify({ session: recording.session, recorded, failed: code(failed), cause, again: code(again) }));
