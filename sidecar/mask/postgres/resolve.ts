/** Names as the server resolves them, against a catalog and the effective search path. */
import type { RelationFact, WrittenName } from '#sidecar/wire/postgres/sql/facts.ts';
import type { Catalog, CatalogFunction, CatalogOperator, CatalogType, Relation } from './catalog.ts';

export interface Resolver {
  readonly catalog: Catalog;
  /** `current_schemas(true)`. */
  readonly searchPath: readonly string[];
  readonly database: string;
}

export function resolveRelation(
  at: Resolver,
  fact: Pick<RelationFact, 'schema' | 'name'> & { readonly database?: string },
): Relation | null {
  if (fact.database !== undefined && fact.database !== '' && fact.database !== at.database) return null;
  if (fact.schema !== '') {
    const schema = fact.schema === 'pg_temp' ? at.searchPath.find(isTemporary) : fact.schema;
    return schema === undefined ? null : (at.catalog.relations.get(schema)?.get(fact.name) ?? null);
  }
  for (const schema of at.searchPath) {
    const found = at.catalog.relations.get(schema)?.get(fact.name);
    if (found !== undefined) return found;
  }
  return null;
}

/** Where CREATE puts a relation; null where it can't be told. */
export function creationSchema(searchPath: readonly string[], fact: RelationFact): string | null {
  if (fact.node.relpersistence === 't' || fact.schema === 'pg_temp') return 'pg_temp';
  if (fact.schema !== '') return fact.schema;
  return searchPath.find((schema) => !isTemporary(schema) && schema !== 'pg_catalog') ?? null;
}

/** Every function that an unqualified call may mean: the arguments choose among them. pg_temp is never searched for functions. */
export function candidateFunctions(at: Resolver, name: WrittenName): readonly CatalogFunction[] {
  const all = at.catalog.functions.get(name.name) ?? [];
  if (name.schema !== '') return all.filter((item) => item.schema === name.schema);
  return all.filter((item) => at.searchPath.includes(item.schema) && !isTemporary(item.schema));
}

/** Operators outside pg_catalog that a use of the name may mean. */
export function candidateOperators(at: Resolver, name: WrittenName): readonly CatalogOperator[] {
  const all = at.catalog.operators.get(name.name) ?? [];
  if (name.schema !== '') return all.filter((item) => item.schema === name.schema);
  return all.filter((item) => at.searchPath.includes(item.schema) && !isTemporary(item.schema));
}

export function resolveType(at: Resolver, name: WrittenName): CatalogType | null {
  if (name.schema !== '') return at.catalog.types.get(name.schema)?.get(name.name) ?? null;
  for (const schema of at.searchPath) {
    const found = at.catalog.types.get(schema)?.get(name.name);
    if (found !== undefined) return found;
  }
  return null;
}

export function isTemporary(schema: string): boolean {
  return schema.startsWith('pg_temp');
}
