/** What a statement, or the definition of a view that it reads, may name on a target with masks. Each check gives a refusal or null. */
import { asNode, type Fields, list, text } from '#sidecar/wire/postgres/sql/ast.ts';
import type { StatementFacts, WrittenName } from '#sidecar/wire/postgres/sql/facts.ts';
import type { Refusal, RefusalCode } from './analyse.ts';
import type { CatalogFunction, CatalogType, Relation } from './catalog.ts';
import { FIRST_USER_OID } from './catalog-queries.ts';
import { candidateFunctions, candidateOperators, isTemporary, type Resolver, resolveRelation, resolveType } from './resolve.ts';
import { builtInsAreCastByCode, typeRunsCode } from './type-code.ts';
import { vetCatalogColumns } from './vet-catalogs.ts';
import { isSequenceFunction, isTrustedCode, isVettedCatalogRelation, isVettedFunction } from './vet-lists.ts';
import type { MaskedCatalog } from './world.ts';

const MAX_VIEW_DEPTH = 16;

export function vetNames(world: MaskedCatalog, at: Resolver, facts: StatementFacts, depth = 0): Refusal | null {
  if (depth > MAX_VIEW_DEPTH) return refusal('NotRewritable', 'views are nested too deeply');
  return (
    vetSearchPath(world, at) ??
    vetFunctions(world, at, facts) ??
    vetComputedFields(world, facts) ??
    vetOperators(at, facts) ??
    vetTypes(world, at, facts) ??
    vetRelations(world, at, facts, depth)
  );
}

/** With another schema before pg_catalog its functions and types could stand in for the built-in ones. */
function vetSearchPath(world: MaskedCatalog, at: Resolver): Refusal | null {
  // Names are cut at 63 bytes, in the encoding of whoever cuts.
  if (world.catalog.encoding !== 'UTF8') return refusal('NotSupported', `the encoding of the database is ${world.catalog.encoding}`);
  const first = at.searchPath.find((schema) => !isTemporary(schema));
  if (first !== 'pg_catalog') return refusal('NotResolved', 'search_path puts another schema before pg_catalog');
  // pg_temp is searched first for relations and types: nothing there may carry a built-in name.
  const builtIn = world.catalog.types.get('pg_catalog');
  for (const schema of at.searchPath.filter(isTemporary)) {
    for (const name of world.catalog.types.get(schema)?.keys() ?? []) {
      if (builtIn?.has(name)) return refusal('NotResolved', `the temporary relation ${name} hides what is built in`);
    }
  }
  return null;
}

function vetFunctions(world: MaskedCatalog, at: Resolver, facts: StatementFacts): Refusal | null {
  for (const name of facts.functions) {
    const candidates = candidateFunctions(at, name);
    if (candidates.length === 0 && name.syntax) continue;
    if (candidates.length === 0) return unknownName(`function ${written(name)} is not in the catalog`);
    const bad = candidates.find(
      (item) => !isVettedFunction(item) && !isListed(world, item) && !(isSequenceFunction(item) && countsNothingMasked(world)),
    );
    if (bad !== undefined) return refusal('NotSupported', `function ${bad.schema}.${bad.name} is not allowed on a target with masks`);
  }
  return null;
}

/** Somebody has read its body, and wrote it into every MaskingRule. */
function isListed(world: MaskedCatalog, { definitionSha256 }: CatalogFunction): boolean {
  return definitionSha256 !== null && world.mask.functions.has(definitionSha256);
}

/** `row.name` calls the function `name` where the row has no such column. A name that a user's function has is refused as a column. */
function vetComputedFields(world: MaskedCatalog, facts: StatementFacts): Refusal | null {
  for (const column of facts.columns) {
    const parts = list(column.fields);
    const name = text(asNode(parts.at(-1), 'String')?.sval);
    if (parts.length < 2 || name === '') continue;
    const found = world.catalog.functions.get(name)?.find((item) => item.schema !== 'pg_catalog' && !isTrustedCode(item));
    if (found !== undefined)
      return refusal('NotSupported', `${name} is also a function of the database: a column may not be written row.${name}`);
  }
  return null;
}

/** Operators that the text names, and equality, which IN, USING and others take without naming it. */
function vetOperators(at: Resolver, facts: StatementFacts): Refusal | null {
  for (const name of [...facts.operators, { schema: '', name: '=' }]) {
    const bad = candidateOperators(at, name).find((item) => !isTrustedCode(item.function));
    if (bad !== undefined) return refusal('NotSupported', `operator ${bad.schema}.${bad.name} is not allowed on a target with masks`);
  }
  return null;
}

function vetTypes(world: MaskedCatalog, at: Resolver, facts: StatementFacts): Refusal | null {
  if (builtInsAreCastByCode(world.catalog)) {
    return refusal('NotSupported', 'the database has a cast between built-in types through a function of its own');
  }
  for (const name of facts.types) {
    const type = resolveType(at, name);
    if (type === null) return unknownName(`type ${written(name)} is not in the catalog`);
    const ofRow = world.catalog.castTypes.some(
      ({ source, target }) => target === type.oid && world.catalog.typesByOid.get(source)?.kind === 'c',
    );
    if (ofRow) return refusal('NotSupported', `rows are cast to ${type.schema}.${type.name} by a function of the database`);
    if (typeRunsCode(world.catalog, type)) return refusal('NotSupported', `type ${type.schema}.${type.name} runs functions of its own`);
  }
  return null;
}

function vetRelations(world: MaskedCatalog, at: Resolver, facts: StatementFacts, depth: number): Refusal | null {
  const read: { readonly relation: Relation; readonly node: Fields }[] = [];
  for (const fact of facts.relations) {
    // It does not exist yet.
    if (fact.role === 'Create') continue;
    const relation = resolveRelation(at, fact);
    if (relation === null) return unknownName(`relation ${written(fact)} is not in the catalog`);
    read.push({ relation, node: fact.node });
    const writes = fact.role !== 'From' && fact.role !== 'Read' && fact.role !== 'CopyTo';
    const found = vetRelation(world, relation, writes, depth);
    if (found !== null) return found;
  }
  const values = vetCatalogColumns(facts, read);
  return values === null ? null : refusal('NotSupported', values);
}

function vetRelation(world: MaskedCatalog, relation: Relation, writes: boolean, depth: number): Refusal | null {
  const name = `${relation.schema}.${relation.name}`;
  if (relation.oid < FIRST_USER_OID) {
    if (!writes && isVettedCatalogRelation(relation.schema, relation.name)) return null;
    return refusal('NotSupported', `${name} is not allowed on a target with masks`);
  }
  if (writes && relation.hasRules) return refusal('NotSupported', `${name} has rules`);
  if (writes && relation.hasCodeDefaults) return refusal('NotSupported', `a default of ${name} calls a function of its own`);
  for (const column of relation.columns) {
    const type = world.catalog.typesByOid.get(column.type);
    if (type === undefined) return refusal('NotResolved', `the type of ${name}.${column.name} is not in the catalog`);
    if (typeRunsCode(world.catalog, type)) return refusal('NotSupported', `the type of ${name}.${column.name} runs functions of its own`);
    if (relation.kind !== 'View' && holdsMaskedRow(world, type))
      return refusal('NotRewritable', `${name}.${column.name} holds rows of a relation with masked columns`);
  }
  switch (relation.kind) {
    case 'Table':
    case 'Partitioned': {
      // A child may be a foreign table: its rows are read through the parent.
      const foreign = world.reached(relation).find((item) => item.kind === 'Foreign');
      return foreign === undefined ? null : refusal('NotSupported', `${name} has a foreign table behind it`);
    }
    case 'View':
      return vetView(world, relation, depth);
    case 'MaterializedView':
      return world.touchesMasked(relation) ? refusal('NotRewritable', `${name} is a materialised copy of masked columns`) : null;
    case 'Sequence':
      return isSequenceOfMasked(world, relation) ? refusal('NotRewritable', `${name} counts a masked column`) : null;
    case 'Foreign':
    case 'Index':
    case 'Composite':
      return refusal('NotSupported', `${name} is not allowed on a target with masks`);
    default:
      return relation.kind satisfies never;
  }
}

function vetView(world: MaskedCatalog, view: Relation, depth: number): Refusal | null {
  const body = world.viewBody(view);
  const name = `${view.schema}.${view.name}`;
  if (body === null || body.facts.unknown.length > 0) return refusal('NotRewritable', `the definition of view ${name} can't be read`);
  if (body.facts.kinds.some((kind) => kind !== 'Select')) return refusal('NotSupported', `view ${name} changes data`);
  if (body.facts.locking && world.touchesMasked(view))
    return refusal('NotRewritable', `view ${name} locks rows of a relation with masked columns`);
  const found = vetNames(world, { catalog: world.catalog, searchPath: ['pg_catalog'], database: '' }, body.facts, depth + 1);
  return found === null ? null : { code: found.code, message: `view ${name}: ${found.message}` };
}

function holdsMaskedRow(world: MaskedCatalog, type: CatalogType): boolean {
  if (type.oid < FIRST_USER_OID) return false;
  const inner = world.catalog.typesByOid.get(type.kind === 'd' ? type.base : type.element);
  if (inner !== undefined && inner.oid !== type.oid) return holdsMaskedRow(world, inner);
  const relation = world.catalog.relationsByOid.get(type.relation);
  return relation !== undefined && type.relation !== 0 && relation.kind !== 'Composite' && world.touchesMasked(relation);
}

function countsNothingMasked(world: MaskedCatalog): boolean {
  return ![...world.catalog.relationsByOid.values()].some(
    (relation) => relation.kind === 'Sequence' && isSequenceOfMasked(world, relation),
  );
}

function isSequenceOfMasked(world: MaskedCatalog, sequence: Relation): boolean {
  const owner = sequence.ownedBy === null ? undefined : world.catalog.relationsByOid.get(sequence.ownedBy.relation);
  return owner !== undefined && sequence.ownedBy !== null && world.maskedColumns(owner).has(sequence.ownedBy.column);
}

function written(name: WrittenName): string {
  return name.schema === '' ? name.name : `${name.schema}.${name.name}`;
}

function unknownName(message: string): Refusal {
  return { ...refusal('NotResolved', message), unknownName: true };
}

export function refusal(code: RefusalCode, message: string): Refusal {
  return { code, message };
}
