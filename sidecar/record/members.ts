import type { NewEvent, RecordedAction } from '#crds/record/event.ts';

type SqlAction = Extract<RecordedAction, { type: 'sql' }>;

/** What `JSON.stringify` gives, for the two values of which there is one for each statement: it costs several times as much. */
export function actionJson(action: RecordedAction): string {
  return isPlainSql(action) ? `${plainSqlHead(action)}${plainSqlTail(action)}` : JSON.stringify(action);
}

/** Nearly all are. */
export function isPlainSql(action: RecordedAction): action is SqlAction {
  return action.type === 'sql' && action.sent === undefined && action.parameters === undefined && action.truncated === undefined;
}

/** What is of this statement alone. */
export function plainSqlHead({ step, received, digest }: SqlAction): string {
  return `{"type":"sql","step":"${step}","received":${shortText(received)},"digest":${shortText(digest)}`;
}

/** What statements that differ in literals alone share. */
export function plainSqlTail({ tokenised, kinds }: SqlAction): string {
  return `,"tokenised":${tokenised},"kinds":${kindsJson(kinds)}}`;
}

/** All members of the event, without the braces. */
export function eventMembers(event: Omit<NewEvent, 'channel'>): string {
  return isPlainResult(event) ? resultMembers(event) : JSON.stringify(event).slice(1, -1);
}

type Result = Extract<NewEvent, { type: 'result' }>;

/** Of the members that nearly every result has, each there, and no other. */
const RESULT_MEMBERS = ['type', 'parent', 'status', 'rows', 'bytesOut', 'tag', 'durationMs'];

function isPlainResult(event: Omit<NewEvent, 'channel'>): event is Result {
  if (event.type !== 'result') return false;
  let at = 0;
  for (const member in event) if (member !== RESULT_MEMBERS[at++]) return false;
  return at === RESULT_MEMBERS.length;
}

function resultMembers({ parent, status, rows, bytesOut, tag = '', durationMs }: Result): string {
  return `"type":"result","parent":${parent},"status":"${status}","rows":${rows},"bytesOut":${bytesOut},"tag":${shortText(tag)},"durationMs":${durationMs}`;
}

/** What is longer JSON.stringify reads faster. */
const SHORT_CHARS = 512;
const NOTHING_TO_ESCAPE = /^[ !#-[\]-~]*$/;

function shortText(text: string): string {
  return text.length <= SHORT_CHARS && NOTHING_TO_ESCAPE.test(text) ? `"${text}"` : JSON.stringify(text);
}

/** Statements that differ in literals alone share one list. */
const known = new WeakMap<readonly string[], string>();

function kindsJson(kinds: readonly string[]): string {
  const json = known.get(kinds) ?? JSON.stringify(kinds);
  known.set(kinds, json);
  return json;
}
