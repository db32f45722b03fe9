/** What the target saw, what the agents were told, and what the bucket holds: three accounts of the same statements. */
import { openBucket } from '#cli/sessions/bucket.ts';
import { eventsOf } from '#cli/sessions/events.ts';
import type { StoredSession } from '#cli/sessions/stored.ts';
import type { ActionEvent } from '#crds/record/event.ts';
import { AGENTS, type Stage } from './failure-stage.ts';

/** `POD/WORKER/NUMBER`: in the text of every statement of the load. */
const MARK = /agent-\d+\/(?:one|long)\/\d+/;

export interface Answer {
  readonly atMs: number;
  readonly mark: string | null;
  /** What psql said; `ok` where it was done. */
  readonly said: string;
}

export interface Seen {
  /** Statements in the target's own log, of the role that the sidecars log in with. */
  readonly served: readonly string[];
  readonly answers: readonly Answer[];
}

/** As of now. */
export async function look(stage: Stage, pods: readonly string[] = AGENTS): Promise<Seen> {
  const log = await stage.exec('db', 'db', "grep -a '^app LOG:  .*\\(statement\\|execute [^:]*\\): ' /run/db/statements.log");
  const answers: Answer[] = [];
  for (const pod of pods) answers.push(...(await stage.exec(pod, 'agent', 'cat /load/one /load/long')).split('\n').flatMap(answerOf));
  return { served: log.split('\n').filter(Boolean), answers: answers.toSorted((a, b) => a.atMs - b.atMs) };
}

function answerOf(line: string): readonly Answer[] {
  const [, time, rest = ''] = /^(\d+[.,]\d+) (.*)$/.exec(line) ?? [];
  if (time === undefined) return [];
  const mark = MARK.exec(rest)?.[0] ?? null;
  const said = mark === null ? rest : rest === mark ? 'ok' : rest.slice(mark.length + 1);
  return [{ atMs: Number(time.replace(',', '.')) * 1000, mark, said }];
}

export const markOf = (text: string): string | null => MARK.exec(text)?.[0] ?? null;

type Verdicts = ReadonlyMap<string, readonly ActionEvent[]>;
/** What was read of a session once: the bucket never changes what it has, and by the end there are hundreds. */
const read = new Map<string, { readonly segments: number; readonly verdicts: readonly (readonly [string, ActionEvent])[] }>();

/** The verdicts on the load's statements that are in the bucket. */
export async function verdictsIn(stage: Stage): Promise<Verdicts> {
  const { sessions } = await openBucket(stage.bucket);
  const all: (readonly [string, ActionEvent])[] = [];
  for (const session of sessions) {
    const known = read.get(session.place.session);
    const verdicts = known?.segments === session.segments.length ? known.verdicts : await verdictsOf(session);
    read.set(session.place.session, { segments: session.segments.length, verdicts });
    all.push(...verdicts);
  }
  const byMark = Map.groupBy(all, ([mark]) => mark);
  return new Map([...byMark].map(([mark, pairs]) => [mark, pairs.map(([, event]) => event)]));
}

async function verdictsOf(session: StoredSession): Promise<(readonly [string, ActionEvent])[]> {
  const verdicts: (readonly [string, ActionEvent])[] = [];
  for await (const event of eventsOf(session)) {
    const mark = event.type === 'action' && event.action.type === 'sql' ? markOf(event.action.received) : null;
    if (mark !== null) verdicts.push([mark, event as ActionEvent]);
  }
  return verdicts;
}

/** Served without a verdict that allows it, or answered without a verdict in the bucket. */
export function missing({ served, answers }: Seen, verdicts: Verdicts): readonly string[] {
  const allows = (mark: string) => (verdicts.get(mark) ?? []).some(({ decision }) => decision === 'Allow');
  const unjudged = served.filter((line) => markOf(line) !== null && !allows(markOf(line) ?? '')).map((line) => `served: ${line}`);
  const lost = answers.filter(({ mark, said }) => mark !== null && said === 'ok' && !allows(mark)).map(({ mark }) => `answered: ${mark}`);
  return [...unjudged, ...lost];
}
