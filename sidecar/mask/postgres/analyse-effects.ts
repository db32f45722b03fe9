/** What a statement does to the session that later statements are judged in. */
import { asNode, constant, fields, list, text } from '#sidecar/wire/postgres/sql/ast.ts';
import type { FunctionFact, StatementFacts } from '#sidecar/wire/postgres/sql/facts.ts';
import { classifySetting, classifyValue } from '#sidecar/wire/postgres/sql/settings.ts';
import type { Analysis, Effects } from './analyse.ts';
import { candidateFunctions, type Resolver } from './resolve.ts';
import { isReadingFunction } from './vet-lists.ts';

export const NO_EFFECTS: Effects = {
  ddl: false,
  state: false,
  endsTransaction: false,
  prepares: [],
  deallocates: [],
  deallocatesAll: false,
  declares: [],
  closes: [],
  closesAll: false,
  discardsAll: false,
  copyIn: false,
  copyOut: false,
  notifies: [],
  listens: [],
  unlistens: [],
  unlistensAll: false,
  namesAfterState: false,
};

const DDL = new Set(['Create', 'Alter', 'Drop', 'Grant', 'Revoke', 'Comment', 'Do', 'Call', 'Other']);

export function effectsOf(facts: StatementFacts, at: Resolver | null): Effects {
  const { type, node } = facts;
  const discardsAll = type === 'DiscardStmt' && text(node.target) === 'DISCARD_ALL';
  const opaqueCode = facts.kinds.includes('Do') || facts.kinds.includes('Call') || facts.functions.some((name) => mayRunAnything(name, at));
  const plainCopy = type === 'CopyStmt' && text(node.filename) === '' && node.is_program !== true;
  const kind = text(node.kind);
  return {
    ddl: facts.kinds.some((item) => DDL.has(item)) || type === 'DiscardStmt' || type === 'RefreshMatViewStmt' || opaqueCode,
    state: discardsAll || opaqueCode || facts.kinds.includes('Drop') || facts.kinds.includes('Create') || changesState(facts),
    endsTransaction:
      type === 'TransactionStmt' && ['COMMIT', 'ROLLBACK', 'ROLLBACK_TO', 'PREPARE'].some((end) => kind === `TRANS_STMT_${end}`),
    prepares: type === 'PrepareStmt' ? [text(node.name)] : [],
    deallocates: type === 'DeallocateStmt' && node.isall !== true ? [text(node.name)] : [],
    deallocatesAll: discardsAll || (type === 'DeallocateStmt' && node.isall === true),
    declares: type === 'DeclareCursorStmt' ? [text(node.portalname)] : [],
    closes: type === 'ClosePortalStmt' && text(node.portalname) !== '' ? [text(node.portalname)] : [],
    closesAll: discardsAll || (type === 'ClosePortalStmt' && text(node.portalname) === ''),
    discardsAll,
    copyIn: plainCopy && node.is_from === true,
    copyOut: plainCopy && node.is_from !== true,
    notifies: type === 'NotifyStmt' ? [{ channel: text(node.conditionname), payload: text(node.payload) }] : [],
    listens: type === 'ListenStmt' ? [text(node.conditionname)] : [],
    unlistens: type === 'UnlistenStmt' && text(node.conditionname) !== '' ? [text(node.conditionname)] : [],
    unlistensAll: discardsAll || (type === 'UnlistenStmt' && text(node.conditionname) === ''),
    namesAfterState: false,
  };
}

/** SET, RESET and `set_config` of what names are resolved by. */
function changesState(facts: StatementFacts): boolean {
  if (facts.settings.some((setting) => classifySetting(setting) === 'state')) return true;
  return facts.functions.some((item) => item.name === 'set_config');
}

/** A function of the user's own that may hold a SET, or one that is not known. */
function mayRunAnything(name: FunctionFact, at: Resolver | null): boolean {
  if (at === null) return false;
  const candidates = candidateFunctions(at, name);
  return (candidates.length === 0 && !name.syntax) || candidates.some((item) => item.schema !== 'pg_catalog' && !isReadingFunction(item));
}

/** True where the statement could make the server read SQL otherwise than our parser does. */
export function changesParser(facts: StatementFacts): boolean {
  if (facts.settings.some((setting) => classifySetting(setting) === 'parser')) return true;
  if (facts.relations.some((fact) => fact.name === 'pg_settings' && fact.role !== 'From' && fact.role !== 'Read' && fact.role !== 'CopyTo'))
    return true;
  return facts.functions.some((item) => {
    if (item.name !== 'set_config') return false;
    const args = list(item.node.args);
    const [name, value] = [constant(args[0]) ?? castConstant(args[0]), constant(args[1]) ?? castConstant(args[1])];
    // pg_dump takes the name from pg_settings, with a value that no setting of the parser has: the server refuses it for them.
    if (name === null) return value !== PG_DUMP_VALUE;
    return classifyValue(name, value) === 'parser';
  });
}

/** Of restrict_nonsystem_relation_kind. */
const PG_DUMP_VALUE = 'view, foreign-table';

function castConstant(value: unknown): string | null {
  const cast = asNode(value, 'TypeCast');
  return cast === null ? null : constant(fields(cast).arg);
}

export function mergeEffects(all: readonly Effects[]): Effects {
  const some = (read: (effects: Effects) => boolean): boolean => all.some(read);
  return {
    ddl: some((item) => item.ddl),
    state: some((item) => item.state),
    endsTransaction: some((item) => item.endsTransaction),
    prepares: all.flatMap((item) => item.prepares),
    deallocates: all.flatMap((item) => item.deallocates),
    deallocatesAll: some((item) => item.deallocatesAll),
    declares: all.flatMap((item) => item.declares),
    closes: all.flatMap((item) => item.closes),
    closesAll: some((item) => item.closesAll),
    discardsAll: some((item) => item.discardsAll),
    copyIn: some((item) => item.copyIn),
    copyOut: some((item) => item.copyOut),
    notifies: all.flatMap((item) => item.notifies),
    listens: all.flatMap((item) => item.listens),
    unlistens: all.flatMap((item) => item.unlistens),
    unlistensAll: some((item) => item.unlistensAll),
    namesAfterState: some((item) => item.namesAfterState),
  };
}

/** EXECUTE runs what was prepared, but does not prepare it again. */
export function effectsOfRun(run: Analysis): Effects {
  return { ...run.effects, prepares: [], declares: [], copyIn: false, copyOut: false };
}
