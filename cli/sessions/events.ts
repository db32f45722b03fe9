import { ASSURANCES, type Assurance, lowestOf } from '#crds/policy/assurance.ts';
import type { StartEvent } from '#crds/record/event.ts';
import { readEvents, type StoredEvent, takeApart } from '#crds/record/segment.ts';
import { nodePlatform } from '#sidecar/record/platform.ts';
import { openStored, type SessionsOptions } from './options.ts';
import type { StoredSession } from './stored.ts';

const PLATFORM = nodePlatform(new Map());

/** Events of a session in their order, as they are stored; verifies nothing. What can't be read is left out: `verify` names it. */
export async function* eventsOf(session: StoredSession): AsyncGenerator<StoredEvent> {
  const bySegment = [...session.segments].sort((a, b) => a.segment - b.segment || (a.state === 'sealed' ? -1 : 1));
  let last = 0;
  for (const stored of bySegment) {
    // An open file beside a sealed one is its copy.
    if (stored.segment === last) continue;
    last = stored.segment;
    const bytes = await stored.read();
    const body = typeof bytes === 'string' ? null : takeApart(bytes, stored.state, PLATFORM).body;
    for (const line of readEvents(body ?? new Uint8Array())) {
      if (line.type === 'event') yield line.event;
    }
  }
}

export interface SessionSummary {
  readonly session: string;
  readonly namespace: string;
  readonly resource: string;
  readonly protocol: string;
  readonly who: readonly string[];
  readonly database: string | null;
  readonly started: string;
  /** Time of the end event, or of the last event where the session goes on. */
  readonly last: string;
  readonly ended: string | null;
  readonly actions: { readonly allowed: number; readonly denied: number; readonly held: number };
  readonly maskedValues: number;
  /** The lowest that was found; what the rules promise where no statement came. */
  readonly assurance: Assurance;
  readonly segments: number;
}

/** Null where there is no start event of the shape that a recorder writes. */
export async function summaryOf(session: StoredSession): Promise<SessionSummary | null> {
  try {
    return await summarise(session);
  } catch {
    return null;
  }
}

async function summarise(session: StoredSession): Promise<SessionSummary | null> {
  let start: StartEvent | null = null;
  let last = '';
  let ended: string | null = null;
  let maskedValues = 0;
  const found: Assurance[] = [];
  const actions = { allowed: 0, denied: 0, held: 0 };
  for await (const event of eventsOf(session)) {
    last = event.time;
    if (event.type === 'start') start = event;
    if (event.type === 'end') ended = event.reason;
    if (event.type === 'note' && event.code === 'Assurance') found.push(...ASSURANCES.filter((level) => level === event.data?.['level']));
    if (event.type === 'result') maskedValues += event.maskedValues ?? 0;
    if (event.type === 'action') {
      if (event.decision === 'Allow') actions.allowed += 1;
      else if (event.decision === 'Deny') actions.denied += 1;
      else actions.held += 1;
    }
  }
  if (start === null) return null;
  return {
    session: session.place.session,
    namespace: start.resource.namespace,
    resource: start.resource.name,
    protocol: start.protocol,
    who: start.principals.map((principal) => principal.subject),
    database: start.database ?? null,
    started: start.time,
    last,
    ended,
    actions,
    maskedValues,
    assurance: lowestOf(found) ?? start.assurance,
    segments: new Set(session.segments.map((segment) => segment.segment)).size,
  };
}

export type Found =
  | { readonly type: 'one'; readonly session: StoredSession }
  | { readonly type: 'none' | 'unreadable' | 'short'; readonly message: string }
  | { readonly type: 'many'; readonly message: string };

/** The one session whose ID begins with `prefix`. */
export async function findSession(options: SessionsOptions, prefix: string): Promise<Found> {
  if (!/^[0-9a-f-]{4,36}$/i.test(prefix))
    return { type: 'short', message: `${JSON.stringify(prefix)} is not a session: give its ID, or at least the first 4 characters of it` };
  try {
    const { where, sessions } = await openStored(options);
    const found = sessions.filter((session) => session.place.session.startsWith(prefix.toLowerCase()));
    const [session] = found;
    if (session === undefined) return { type: 'none', message: `there is no session ${prefix} in ${where}` };
    if (found.length > 1)
      return {
        type: 'many',
        message: `${found.length} sessions begin with ${prefix}: ${found.map((one) => one.place.session).join(', ')}`,
      };
    return { type: 'one', session };
  } catch (error: unknown) {
    return { type: 'unreadable', message: messageOf(error) };
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
