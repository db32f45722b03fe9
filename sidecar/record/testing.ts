/** What the tests of recordings share: real sessions, made by the real recorder in a folder of their own. */
import { createHash, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Verdict } from '#crds/policy/verdict.ts';
import type { RecordedAction } from '#crds/record/event.ts';
import { makePermit, type Permit } from '../permit.ts';
import type { Log, RecordingStore, SessionRecorder } from '../pipeline.ts';
import { openRecordings, type RecordingOptions, type Recordings } from './store.ts';

export interface LogLine {
  readonly level: 'info' | 'warn' | 'error';
  readonly fields: object;
  readonly message: string;
}

export function listLog(lines: LogLine[]): Log {
  const at = (level: LogLine['level']) => (fields: object, message: string) => void lines.push({ level, fields, message });
  return { info: at('info'), warn: at('warn'), error: at('error') };
}

export function temporaryFolder(test: { after(done: () => void): void }): string {
  const dir = mkdtempSync(join(tmpdir(), 'chaperone-record-'));
  test.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

export const START: Parameters<RecordingStore['open']>[0] = {
  protocol: 'PostgreSQL',
  resource: { namespace: 'shop', name: 'orders-db' },
  workload: { namespace: 'ci', serviceAccount: 'runner' },
  principals: [{ kind: 'ServiceAccount', issuer: 'standalone', subject: 'ci/runner', groups: [], proof: 'listener' }],
  database: 'shop',
  snapshot: `sha256:${'b'.repeat(64)}`,
  assurance: 'B',
};

const AUTHOR = { kind: 'AccessPolicy', namespace: 'shop', name: 'readers', generation: 1, rule: 'read' } as const;
export const ALLOWED: Verdict = {
  decision: 'Allow',
  code: 'AllowedByRule',
  message: 'allowed by AccessPolicy shop/readers',
  authors: [AUTHOR],
  gates: [],
  audit: [],
};
export const DENIED: Verdict = {
  decision: 'Deny',
  code: 'DeniedByRule',
  message: 'denied by AccessPolicy shop/readers',
  authors: [AUTHOR],
  gates: [],
  audit: [],
};

export function permitFor(text: string): Permit {
  return makePermit({ type: 'connect' }, ALLOWED, Buffer.from(text));
}

export function sql(received: string): Extract<RecordedAction, { type: 'sql' }> {
  return {
    type: 'sql',
    step: 'Query',
    received,
    digest: createHash('sha256').update(received).digest('hex'),
    tokenised: false,
    kinds: ['Select'],
  };
}

export async function recorder(dir: string, options: Partial<RecordingOptions> = {}): Promise<Recordings> {
  return openRecordings({ dir, clock: Date.now, log: listLog([]), ...options });
}

/** A session of `statements` allowed statements with results, not ended. */
export async function session(recordings: Recordings, statements: number, namespace = 'shop'): Promise<SessionRecorder> {
  const recorder = await recordings.open({ ...START, resource: { ...START.resource, namespace } }, randomUUID());
  for (let i = 0; i < statements; i++) {
    const { seq } = recorder.permit(permitFor('x'), sql(`select ${i} from customers`));
    recorder.event({ type: 'result', parent: seq, status: 'ok', rows: i, tag: `SELECT ${i}`, durationMs: 1 });
  }
  return recorder;
}

export interface Recorded {
  readonly dir: string;
  readonly sessions: readonly string[];
  readonly head: string;
}

/** Three sessions, the first with four segments or more, made by two recorders one after the other; all closed. */
export async function recordSome(dir: string): Promise<Recorded> {
  const first = await recorder(dir, { limits: { segmentBytes: 2000 } });
  const long = await session(first, 9);
  await long.end('client');
  await first.close();
  const second = await recorder(dir);
  const two = await session(second, 2);
  await two.end('client');
  const three = await session(second, 1, 'billing');
  three.deny({ type: 'denial', verdict: DENIED }, sql('drop table customers'));
  await three.end('server');
  await second.close();
  return { dir, sessions: [long.session, two.session, three.session], head: second.head().head };
}
