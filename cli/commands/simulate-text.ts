import type { Decision } from '#crds/policy/verdict.ts';
import { painter, printable, table } from '../sessions/table.ts';
import type { Simulation } from './simulate.ts';

const STYLES = { Allow: 'green', Deny: 'red', Hold: 'yellow' } as const satisfies Record<Decision, string>;

export function simulationText(simulation: Simulation, color: boolean): string {
  const paint = painter(color);
  const { verdict, refusal, principals, masks, notes } = simulation;
  const rows = simulation.trace.map(({ author, action, mode, matched, why }) => [
    matched ? '*' : '',
    `${author.namespace}/${author.name}`,
    author.rule,
    mode === 'Audit' ? `${action} (audit)` : action,
    why,
  ]);
  const lines = [
    `resource  ${simulation.resource}`,
    ...principals.map(({ kind, subject, issuer, groups }) =>
      printable(`as        ${kind} ${subject} of ${issuer}${groups.length > 0 ? `, groups ${groups.join(', ')}` : ''}`),
    ),
    `what      ${printable(what(simulation))}`,
    '',
    ...(rows.length > 0 ? [table(['', 'POLICY', 'RULE', 'ACTION', 'WHY'], rows)] : ['no policy names these subjects', '']),
    `${paint(STYLES[verdict.decision], verdict.decision)} (${verdict.code}): ${printable(verdict.message)}`,
    ...verdict.gates.map((gate) => `needs approval by ${gate.namespace}/${gate.name}`),
    ...verdict.audit.map((audit) => `audit: would be ${audit.decision} (${audit.code})`),
    ...(refusal === null ? [] : [`${paint('red', 'Deny')} (${refusal.code}): ${printable(refusal.message)}`]),
    ...masks.map((mask) => `mask      ${printable(mask)}`),
    ...notes.map((note) => paint('dim', `note: ${note}`)),
  ];
  return `${lines.join('\n')}\n`;
}

function what({ action }: Simulation): string {
  switch (action.type) {
    case 'connect':
      return 'opens a session';
    case 'http':
      return `${action.method} ${action.host}${action.path}`;
    case 'sql':
      return action.statements.map(statementText).join('; ') || 'an empty statement';
    default:
      throw action satisfies never;
  }
}

function statementText(statement: Extract<Simulation['action'], { type: 'sql' }>['statements'][number]): string {
  const names = (label: string, list: readonly { readonly schema: string | null; readonly name: string }[]) =>
    list.length === 0 ? '' : ` ${label} ${list.map(({ schema, name }) => `${schema ?? '?'}.${name}`).join(', ')}`;
  const { kind, access, reads, writes, functions, missingWhere, effects } = statement;
  const does =
    effects.length === 0 ? '' : `, effects ${[...new Set(effects.map((effect) => `${effect.kind} (${effect.what})`))].join(', ')}`;
  return `${kind} (${access})${names('reads', reads)}${names('writes', writes)}${names('calls', functions)}${missingWhere ? ', without WHERE' : ''}${does}`;
}
