/**
 * The assurance of what is masked in a database: A where the session's role has no way to the column, whatever it runs; B where it has one, and only the
 * rewriting of statements keeps it. docs/masking.md says what is promised.
 */
import type { Assurance, SessionAssurance } from '#crds/policy/assurance.ts';
import type { MaskPolicy } from '#crds/policy/mask.ts';
import type { RuleRead, Way } from './access.ts';
import type { Catalog, Column, Relation } from './catalog.ts';
import { MaskedCatalog } from './world.ts';

export interface ColumnAssurance {
  readonly relation: Relation;
  readonly column: Column;
  readonly level: 'A' | 'B';
  /** Each that is open; none at A. */
  readonly ways: readonly Way[];
}

export interface DatabaseAssurance {
  readonly level: Assurance;
  readonly columns: readonly ColumnAssurance[];
  /** For a client, a recording and a status: why it is not A. */
  readonly loweredBy: readonly string[];
}

const known = new WeakMap<Catalog, Map<string, DatabaseAssurance>>();
const MAX_KNOWN = 64;

/** Remembers its answers: a session asks again and again. */
export function assuranceOf(catalog: Catalog, mask: MaskPolicy): DatabaseAssurance {
  const answers = known.get(catalog) ?? new Map<string, DatabaseAssurance>();
  known.set(catalog, answers);
  const answer = answers.get(mask.key);
  if (answer !== undefined) return answer;
  if (answers.size >= MAX_KNOWN) answers.clear();
  const made = compute(catalog, mask);
  answers.set(mask.key, made);
  return made;
}

/** As the policy engine takes it. */
export function sessionAssurance(catalog: Catalog | null, mask: MaskPolicy): SessionAssurance | undefined {
  if (!mask.active) return NOTHING_MASKED;
  return catalog === null ? undefined : assuranceOf(catalog, mask);
}

const NOTHING_MASKED: SessionAssurance = { level: 'None', loweredBy: [] };

function compute(catalog: Catalog, mask: MaskPolicy): DatabaseAssurance {
  const world = new MaskedCatalog(catalog, mask);
  const masked: { readonly relation: Relation; readonly column: Column }[] = [];
  // A temporary relation is another session's, or holds what this session put there.
  for (const relation of catalog.relationsByOid.values()) {
    const columns = relation.temporary ? new Map() : world.maskedColumns(relation);
    for (const column of columns.size === 0 ? [] : relation.columns) if (columns.has(column.name)) masked.push({ relation, column });
  }
  masked.sort((a, b) => compare(nameOf(a.relation), nameOf(b.relation)) || a.column.attnum - b.column.attnum);
  if (masked.length === 0) {
    return mask.detectors.length > 0
      ? { level: 'C', columns: [], loweredBy: ['no column is masked, and detectors find values by their form alone'] }
      : { level: 'None', columns: [], loweredBy: ['no column of the database is one that a MaskingRule names'] };
  }
  const { access } = catalog;
  const everywhere: readonly Way[] = [
    ...access.everywhere,
    ...access.functions.filter((way) => !mask.functions.has(way.function?.definitionSha256 ?? '')),
  ];
  const columns = masked.map(({ relation, column }): ColumnAssurance => {
    const own = (access.relations.get(relation.oid) ?? []).filter(({ attnum }) => attnum === 0 || attnum === column.attnum);
    const ways = [...own.map(({ way }) => way), ...viewWays(catalog, relation, column), ...everywhere];
    return { relation, column, level: ways.length === 0 ? 'A' : 'B', ways };
  });
  const lowered = columns.filter(({ level }) => level !== 'A');
  return {
    level: lowered.length === 0 ? 'A' : 'B',
    columns,
    loweredBy: lowered.map(
      ({ relation, column, ways }) => `${nameOf(relation)}.${column.name}: ${ways[0] === undefined ? '' : inWords(ways[0], catalog)}`,
    ),
  };
}

/**
 * Views and rules that read the column, directly or through others, and that the session may use. The first is told by columns; what reads such a
 * view is taken to show the column, whatever it takes of it.
 */
function viewWays(catalog: Catalog, relation: Relation, column: Column): readonly Way[] {
  const { access } = catalog;
  const reading = new Map<number, readonly RuleRead[]>();
  const add = (rule: RuleRead) => void reading.set(rule.relation, [...(reading.get(rule.relation) ?? []), rule]);
  for (const rule of access.ruleReads) if (rule.reads === relation.oid && (rule.attnum === column.attnum || rule.wholeRow)) add(rule);
  for (const [oid] of reading) for (const rule of access.ruleReads) if (rule.reads === oid && !reading.has(rule.relation)) add(rule);
  return [...reading].flatMap(([oid, rules]): Way[] => {
    // A materialised view holds what its owner could read when it was filled.
    const stored = catalog.relationsByOid.get(oid)?.kind === 'MaterializedView';
    return rules.some((rule) => (stored || !rule.ownRights) && isUsable(catalog, rule)) ? [{ type: 'view', relation: oid }] : [];
  });
}

function isUsable({ access }: Catalog, { relation, isView }: RuleRead): boolean {
  if (!isView && access.writable.has(relation)) return true;
  return (access.relations.get(relation) ?? []).some(
    ({ way }) => way.type === 'select' || way.type === 'trigger' || (way.type === 'owner' && isView),
  );
}

/** One way as a part of a sentence. */
export function inWords(way: Way, catalog: Catalog): string {
  switch (way.type) {
    case 'superuser':
      return `${way.role} is a superuser`;
    case 'owner':
      return `${way.role} owns it, and may give itself every privilege`;
    case 'select':
      return `${way.role} may SELECT it`;
    case 'trigger':
      return `${way.role} may make a trigger, which sees whole rows`;
    case 'attribute':
      return way.attribute === 'REPLICATION'
        ? `${way.role} has REPLICATION, and may read everything from the log`
        : `${way.role} has CREATEROLE, and may become any role before PostgreSQL 16`;
    case 'serverRole':
      return `${way.role} reaches the server's files or programs`;
    case 'statistics':
      return `${way.role} may read ${way.name}, which holds values`;
    case 'serverFunction':
      return `${way.role} may call ${way.name}, which reads what the server can read`;
    case 'server':
      return `${way.role} may use the foreign server ${way.name} with a stored login`;
    case 'function':
      return `${way.role} may call ${way.name}, which runs as ${way.runsAs} and which no MaskingRule lists`;
    case 'code':
      return `the session may replace ${way.name}, which sees its rows`;
    case 'view': {
      const view = catalog.relationsByOid.get(way.relation);
      return `${view === undefined ? 'a view' : nameOf(view)} reads it with the rights of another role`;
    }
    default:
      return way satisfies never;
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function nameOf(relation: Relation): string {
  return `${relation.schema}.${relation.name}`;
}
