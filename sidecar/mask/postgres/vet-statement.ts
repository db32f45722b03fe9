/** What a whole statement may do on a target with masks. What is not rewritten or known is refused. */
import type { StatementKind } from '#crds/policy/action.ts';
import { asNode, list, text, unwrap } from '#sidecar/wire/postgres/sql/ast.ts';
import type { StatementFacts } from '#sidecar/wire/postgres/sql/facts.ts';
import { classifySetting } from '#sidecar/wire/postgres/sql/settings.ts';
import type { Refusal } from './analyse.ts';
import type { Relation } from './catalog.ts';
import { copyForm } from './copy-form.ts';
import { lockedTarget } from './locked.ts';
import { type Resolver, resolveRelation } from './resolve.ts';
import { refusal, vetNames } from './vet.ts';
import { isVettedSetting } from './vet-lists.ts';
import { decidedByMasked } from './vet-predicates.ts';
import { dropsTemporaryTables, isTemporaryTable, keepsMasked } from './vet-temporary.ts';
import { vetShown, vetWrites, type WriteFinding } from './vet-writes.ts';
import type { MaskedCatalog } from './world.ts';

const ALLOWED_KINDS: ReadonlySet<StatementKind> = new Set<StatementKind>([
  'Select',
  'Insert',
  'Update',
  'Delete',
  'Merge',
  'Truncate',
  'CopyFrom',
  'CopyTo',
  'Set',
  'Show',
  'Transaction',
  'Explain',
  'Prepare',
  'Execute',
  'Deallocate',
  'Cursor',
  'Maintenance',
  'Listen',
]);

/** Name nothing, so that they need no catalog. */
export const NAMELESS: ReadonlySet<string> = new Set([
  'TransactionStmt',
  'VariableSetStmt',
  'VariableShowStmt',
  'DeallocateStmt',
  'ClosePortalStmt',
  'FetchStmt',
  'DiscardStmt',
  'ListenStmt',
  'UnlistenStmt',
  'NotifyStmt',
]);

export function vetMasked(world: MaskedCatalog | null, at: Resolver | null, facts: StatementFacts): WriteFinding {
  const early = vetKinds(facts, at) ?? vetSettings(facts) ?? vetTransaction(facts) ?? vetCopyForm(world, facts);
  if (early !== null) return { refusal: early, parameters: [], copyIn: null };
  if (NAMELESS.has(facts.type)) return { refusal: null, parameters: [], copyIn: null };
  if (world === null || at === null)
    return { refusal: refusal('NotResolved', 'the catalog of the target is not there yet'), parameters: [], copyIn: null };
  const found = vetNames(world, at, facts) ?? vetUseOfMasked(world, at, facts);
  return found === null ? vetWrites(world, at, facts) : { refusal: found, parameters: [], copyIn: null };
}

function vetKinds(facts: StatementFacts, at: Resolver | null): Refusal | null {
  const temporary = isTemporaryTable(facts) ? 'Create' : dropsTemporaryTables(facts, at) ? 'Drop' : null;
  const kind = facts.kinds.find((item) => !ALLOWED_KINDS.has(item) && item !== temporary);
  if (kind !== undefined) return refusal('NotSupported', `${kind} is not supported on a target with masks`);
  if (facts.type === 'VacuumStmt') {
    const verbose = list(facts.node.options).some((option) => text(asNode(option, 'DefElem')?.defname) === 'verbose');
    return verbose || list(facts.node.rels).length === 0
      ? refusal('NotSupported', 'VACUUM or ANALYZE of no named table, or VERBOSE')
      : null;
  }
  if (facts.kinds.includes('Maintenance')) return refusal('NotSupported', `${facts.type} is not supported on a target with masks`);
  return null;
}

function vetSettings(facts: StatementFacts): Refusal | null {
  for (const setting of facts.settings) {
    const found = classifySetting(setting);
    if (found === 'other' && !isVettedSetting(text(setting.name).toLowerCase())) {
      return refusal('NotSupported', `SET ${text(setting.name)} is not supported on a target with masks`);
    }
  }
  return null;
}

function vetTransaction(facts: StatementFacts): Refusal | null {
  const kind = text(facts.node.kind);
  const twoPhase = facts.type === 'TransactionStmt' && (kind.endsWith('_PREPARED') || kind === 'TRANS_STMT_PREPARE');
  return twoPhase ? refusal('NotSupported', 'two-phase commit is not supported on a target with masks') : null;
}

/** Detectors read COPY data in its two forms of text. */
function vetCopyForm(world: MaskedCatalog | null, facts: StatementFacts): Refusal | null {
  if (facts.type !== 'CopyStmt' || facts.node.is_from === true) return null;
  const form = copyForm(facts);
  if (typeof form === 'string') return refusal('NotRewritable', `COPY TO with the option ${form}`);
  if (form.format === 'binary' && world?.mask.detectors.length !== 0)
    return refusal('NotRewritable', 'COPY TO in the binary format, which detectors can not read');
  return null;
}

/** Uses of a relation with masked columns that the rewriter leaves alone. */
function vetUseOfMasked(world: MaskedCatalog, at: Resolver, facts: StatementFacts): Refusal | null {
  const touched = facts.relations.filter((fact) => {
    const relation = fact.role === 'Create' ? null : resolveRelation(at, fact);
    return relation !== null && world.touchesMasked(relation);
  });
  const [first] = touched;
  if (first === undefined) return null;
  const kept = keepsMasked(world, at, facts);
  if (kept !== null) return refusal('NotRewritable', kept);
  const explained = facts.kinds.includes('Explain') ? vetExplain(world, at, facts, touched) : null;
  if (explained !== null) return refusal('NotRewritable', explained);
  const locked = lockedTarget(world, at, facts);
  const whyNot = typeof locked === 'string' ? locked : locked === null ? null : vetShown(world, facts, locked);
  if (whyNot !== null) return refusal('NotRewritable', whyNot);
  for (const fact of touched) {
    if (fact.role === 'CopyTo' || fact.role === 'CopyFrom') {
      const kind = resolveRelation(at, fact)?.kind;
      if (kind === 'Table' || kind === 'Partitioned') continue;
      return refusal('NotRewritable', `COPY of ${fact.name}, which reads masked columns: use COPY (SELECT …)`);
    }
    const isTruncate = facts.type === 'TruncateStmt' || facts.type === 'VacuumStmt';
    if (fact.role !== 'From' && fact.role !== 'Target' && !isTruncate)
      return refusal('NotRewritable', `${facts.type} of ${fact.name}, which has masked columns`);
  }
  const decided = decidedByMasked(world, at, facts, touched);
  return decided === null ? null : refusal('NotRewritable', `${decided}, which is masked, and the MaskingRule has predicates: Strict`);
}

const EXPLAINABLE = ['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt'];

/**
 * The plan is that of the rewritten statement. Where a mask is a constant, nothing of the column is in it; one that is computed from the column makes
 * the planner look at the column's statistics: its number of distinct values, its width.
 */
function vetExplain(world: MaskedCatalog, at: Resolver, facts: StatementFacts, touched: StatementFacts['relations']): string | null {
  if (facts.type !== 'ExplainStmt' || !EXPLAINABLE.includes(unwrap(facts.node.query)?.type ?? ''))
    return 'EXPLAIN of what is no query, with masked columns';
  const partial = touched.find((fact) => {
    const relation = resolveRelation(at, fact);
    const all = relation === null ? [] : [relation, ...world.reached(relation)];
    return all.some((item) => [...world.maskedColumns(item).values()].some(({ strategy }) => strategy.type === 'Partial'));
  });
  return partial === undefined ? null : `EXPLAIN of ${partial.name}, which has a column that is masked in part`;
}

const CASCADING: ReadonlySet<StatementKind> = new Set<StatementKind>(['Update', 'Delete', 'Merge', 'Truncate']);

/**
 * Foreign keys and triggers quote rows of other relations; deferred ones do so at the end of a transaction. Where nothing that is changed is
 * carried on to what has masks, or runs code, an error tells of the relations that the statement names.
 */
export function mayShowMaskedInErrors(world: MaskedCatalog | null, at: Resolver | null, facts: StatementFacts): boolean {
  if (facts.type === 'TransactionStmt' || facts.type === 'ConstraintsSetStmt') return true;
  const carriesOn = facts.kinds.some((kind) => CASCADING.has(kind));
  if (world === null || at === null) return carriesOn || facts.relations.some((fact) => WRITTEN.has(fact.role));
  return facts.relations.some((fact) => {
    if (!WRITTEN.has(fact.role)) return false;
    const relation = resolveRelation(at, fact);
    if (relation === null) return true;
    return runsTriggers(world, relation) || (carriesOn && world.carriedTo(relation).some((item) => runsTriggers(world, item)));
  });
}

const WRITTEN: ReadonlySet<string> = new Set(['Target', 'CopyFrom', 'Write']);

function runsTriggers(world: MaskedCatalog, relation: Relation): boolean {
  return relation.hasTriggers || world.touchesMasked(relation);
}
