import type { Action, SqlEffect, SqlName, SqlStatement } from './action.ts';
import type { ConditionInput } from './cel.ts';
import { GAPS, type Gap } from './match-sql.ts';
import type { CompiledPolicy } from './rule.ts';
import type { Weighed } from './weigh.ts';

const MAX_POLICIES_NAMED = 3;
const MAX_NAME_LENGTH = 130;
/** Kinds that nobody expects to write: that one may (through a function, a lock) is worth a word. */
const READING: ReadonlySet<string> = new Set(['Select', 'Explain', 'Cursor', 'Show', 'Prepare', 'Execute']);

/** What no rule covers, told by the rule that came closest: kinds, methods and names, never a value of the command. */
export function whatIsNotCovered(weighed: Weighed, policies: readonly CompiledPolicy[], input: ConditionInput): string {
  const index = weighed.units.findIndex((unit, at) => isUncovered(weighed, at, unit.session));
  const unit = weighed.units[index];
  if (unit === undefined || unit.session) return 'opening a session';
  let closest: Gap = { at: 'protocol' };
  for (const policy of policies) {
    if (!policy.open(input.nowMs)) continue;
    for (const rule of policy.rules) {
      if (rule.action === 'Deny') continue;
      const gap: Gap = rule.gap(input.action, unit.statement, unit.kinds) ?? { at: 'condition' };
      if (GAPS.indexOf(gap.at) > GAPS.indexOf(closest.at)) closest = gap;
    }
  }
  return describe(closest, subjectOf(input.action, unit.statement, closest.at));
}

export function isUncovered(weighed: Weighed, index: number, session: boolean): boolean {
  if (session) return weighed.sessionBy === undefined;
  return weighed.allowedBy[index] === undefined && weighed.askedBy[index] === undefined;
}

/** What the client would call it: its method, or the kinds of statement in it. */
function subjectOf(action: Action, statement: SqlStatement | null, at: Gap['at']): string {
  if (statement === null) return action.type === 'http' ? `method ${printable(action.method)}` : 'opening a session';
  const kinds = [...new Set([statement.kind, ...statement.kinds])];
  const named = kinds.length === 1 ? `statement kind ${statement.kind}` : `statement kinds ${kinds.join(', ')}`;
  if (at === 'access' && statement.access === 'Read') return `${named}, which only reads`;
  const surprises = statement.access === 'Write' && kinds.every((kind) => READING.has(kind));
  return surprises || at === 'access' ? `${named}, which may write` : named;
}

function describe(gap: Gap, subject: string): string {
  switch (gap.at) {
    case 'protocol':
    case 'method':
    case 'kind':
    case 'access':
      return subject;
    case 'where':
      return `${subject} with a WHERE`;
    case 'host':
      return `${subject} on this host`;
    case 'path':
      return `${subject} on this path`;
    case 'relation':
      return `relation ${nameText(gap.name)}`;
    case 'function':
      return `function ${nameText(gap.name)}`;
    case 'effect':
      return gap.effect === undefined ? subject : `${subject}, with the effect ${effectText(gap.effect)}`;
    case 'rows':
      return `${subject}, whose rows can not be counted before it counts`;
    case 'unnamed':
      return `${subject} that writes and names nothing that is listed`;
    case 'condition':
      return `${subject} under its condition`;
    default:
      return gap.at satisfies never;
  }
}

/** The first few by name. */
export function policyNames(policies: readonly CompiledPolicy[]): string {
  const names = policies.map((policy) => policy.name);
  const more = names.length - MAX_POLICIES_NAMED;
  return more > 0 ? `${names.slice(0, MAX_POLICIES_NAMED).join(', ')} and ${more} more` : names.join(', ');
}

function nameText(name: SqlName | undefined): string {
  if (name === undefined) return '?';
  return name.schema === null ? `${printable(name.name)}, which is not resolved` : printable(`${name.schema}.${name.name}`);
}

/** `Drop (DROP TABLE)` */
export function effectText({ kind, what }: SqlEffect): string {
  return `${kind} (${printable(what)})`;
}

/** Names come from the client: one line, without control characters, of bounded length. */
function printable(text: string): string {
  return text.replace(/[^\p{L}\p{N}\p{P}\p{S} ]/gu, '?').slice(0, MAX_NAME_LENGTH);
}
