/** Sends the steps of a case over its connections. */
import * as bytes from './bytes.ts';
import type { Connection } from './connection.ts';
import type { Step } from './masking-case.ts';

const COPY_STARTS_MS = 4000;
const AFTER_ERROR_MS = 3000;

/** False where an answer did not come: it hangs. `oidOf` looks a function up, by what the case calls it. */
export async function sendStep(connection: Connection, step: Step, oidOf: (signature: string) => Promise<number>): Promise<boolean> {
  if (step.sleep !== undefined) return wait(step.sleep);
  if ('q' in step) {
    if (step.noWait === undefined) return connection.round([bytes.query(step.q)]);
    connection.write(bytes.query(step.q));
    return wait(step.noWait);
  }
  if ('qHex' in step) return connection.round([bytes.query(Buffer.from(step.qHex, 'hex'))]);
  if ('ext' in step) {
    const { ext, params = [], fmt = 0, max = 0 } = step;
    return connection.round([
      bytes.parse('', ext),
      bytes.bind('', '', params, fmt),
      bytes.describe('P', ''),
      bytes.execute('', max),
      bytes.sync(),
    ]);
  }
  if ('msgs' in step) {
    const sent = step.msgs.map(([letter, ...args]) => bytes.ofLetter(letter, args));
    if (step.ready !== undefined) {
      await connection.round(sent, step.ready, AFTER_ERROR_MS);
      return true;
    }
    return connection.round(sent, step.msgs.filter(([letter]) => letter === 'S' || letter === 'Q').length);
  }
  if ('fcall' in step) {
    const args = (step.args ?? []).map((arg) => (typeof arg === 'object' ? Buffer.from(arg.hex, 'hex') : arg));
    return connection.round([bytes.functionCall(await oidOf(step.fcall), args, step.fmt ?? 0)]);
  }
  if ('copyIn' in step) {
    const before = connection.messages.length;
    connection.write(bytes.query(step.sql));
    const answered = (): boolean => connection.messages.slice(before).some(({ type }) => type === 'G' || type === 'E');
    await connection.until(() => connection.closed || answered(), COPY_STARTS_MS);
    return connection.round([bytes.copyData(step.copyIn), bytes.copyDone()]);
  }
  connection.write(bytes.query(step.stream));
  return untilIdle(connection, step.idleMs ?? 700, step.maxMs ?? 15_000);
}

async function untilIdle(connection: Connection, idleMs: number, maxMs: number): Promise<boolean> {
  const end = Date.now() + maxMs;
  connection.lastMs = Date.now();
  while (!connection.closed && Date.now() < end && Date.now() - connection.lastMs < idleMs) await wait(50);
  return true;
}

async function wait(ms: number): Promise<true> {
  await new Promise((resolve) => setTimeout(resolve, ms));
  return true;
}
