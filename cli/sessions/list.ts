import { messageOf, type SessionSummary, summaryOf } from './events.ts';
import { inOrder } from './in-order.ts';
import { type ListOptions, openStored } from './options.ts';
import { table } from './table.ts';

const SUMMARIES_AT_ONCE = 8;

/** Prints a line per session, the oldest first. */
export async function listSessions(options: ListOptions): Promise<number> {
  const since = options.since === undefined ? 0 : Date.parse(options.since);
  if (Number.isNaN(since)) {
    options.stderr.write(`--since takes a time such as 2026-01-31 or 2026-01-31T08:00:00Z, not ${JSON.stringify(options.since)}\n`);
    return 2;
  }
  try {
    const { sessions: stored } = await openStored(options);
    const sessions = (await inOrder(stored, SUMMARIES_AT_ONCE, summaryOf))
      .filter((session) => session !== null)
      .filter((session) => options.namespace === undefined || session.namespace === options.namespace)
      .filter((session) => options.resource === undefined || session.resource === options.resource)
      .filter((session) => Date.parse(session.started) >= since)
      .sort((a, b) => (a.started < b.started ? -1 : 1));
    options.stdout.write(options.output === 'json' ? `${JSON.stringify(sessions, null, 2)}\n` : asTable(sessions));
    return 0;
  } catch (error: unknown) {
    options.stderr.write(`${messageOf(error)}\n`);
    return 2;
  }
}

function asTable(sessions: readonly SessionSummary[]): string {
  if (sessions.length === 0) return 'No sessions.\n';
  const head = ['SESSION', 'RESOURCE', 'WHO', 'STARTED', 'LASTED', 'ALLOWED', 'DENIED', 'HELD', 'MASKED', 'ASSURANCE', 'END'];
  return table(
    head,
    sessions.map((one) => [
      one.session,
      `${one.namespace}/${one.resource}`,
      one.who.join(', '),
      one.started,
      duration(Date.parse(one.last) - Date.parse(one.started)),
      String(one.actions.allowed),
      String(one.actions.denied),
      String(one.actions.held),
      String(one.maskedValues),
      one.assurance,
      one.ended ?? '(open)',
    ]),
  );
}

/** `450ms`, `12.3s`, `5m10s`, `3h2m`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${ms}ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)}s`;
  const minutes = Math.floor(ms / 60_000);
  return minutes < 60 ? `${minutes}m${Math.floor((ms % 60_000) / 1000)}s` : `${Math.floor(minutes / 60)}h${minutes % 60}m`;
}
