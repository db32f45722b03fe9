/** Types that run functions of the database when a value is made of them, or made into another: checks of domains, casts. At any depth. */
import type { Catalog, CatalogType, Relation } from './catalog.ts';
import { FIRST_USER_OID } from './catalog-queries.ts';

interface Known {
  /** By type: whether it runs code. A type that holds itself is false while it is looked at. */
  readonly answers: Map<number, boolean>;
  readonly rowTypes: ReadonlyMap<number, CatalogType>;
  readonly castSources: ReadonlySet<number>;
}

const known = new WeakMap<Catalog, Known>();

function knownOf(catalog: Catalog): Known {
  const found = known.get(catalog);
  if (found !== undefined) return found;
  const rows = [...catalog.typesByOid.values()].filter(({ relation }) => relation !== 0);
  const made: Known = {
    answers: new Map(),
    rowTypes: new Map(rows.map((type) => [type.relation, type])),
    castSources: new Set(catalog.castTypes.map(({ source }) => source)),
  };
  known.set(catalog, made);
  return made;
}

/** A value of it is made by code: of a domain whose check calls a function, of what is cast by one, or of what holds such a value. */
export function typeRunsCode(catalog: Catalog, type: CatalogType): boolean {
  if (type.oid < FIRST_USER_OID) return false;
  const { answers } = knownOf(catalog);
  const before = answers.get(type.oid);
  if (before !== undefined) return before;
  answers.set(type.oid, false);
  const own = type.checksByFunction || catalog.castTypes.some((cast) => cast.source === type.oid || cast.target === type.oid);
  const answer = own || innerTypes(catalog, type).some((inner) => inner === null || typeRunsCode(catalog, inner));
  answers.set(type.oid, answer);
  return answer;
}

/** A domain's base, an array's element, a composite's columns; null for what the catalog does not have. */
function innerTypes(catalog: Catalog, type: CatalogType): readonly (CatalogType | null)[] {
  const oids = [type.kind === 'd' ? type.base : 0, type.element].filter((oid) => oid !== 0);
  const columns = type.relation === 0 ? [] : (catalog.relationsByOid.get(type.relation)?.columns ?? []);
  return [...oids, ...columns.map((column) => column.type)].map((oid) => catalog.typesByOid.get(oid) ?? null);
}

/** A value of one of its columns, or a row of it, may be cast by code without the type being named. */
export function rowsAreCastByCode(catalog: Catalog, relation: Relation): boolean {
  const { castSources, rowTypes } = knownOf(catalog);
  if (castSources.size === 0) return false;
  const row = rowTypes.get(relation.oid);
  if (row !== undefined && castSources.has(row.oid)) return true;
  return relation.columns.some(({ type }) => castSources.has(type) && type >= FIRST_USER_OID);
}

/** A column that can only be written through code. */
export function columnsRunCode(catalog: Catalog, relation: Relation): boolean {
  return relation.columns.some(({ type }) => {
    const found = catalog.typesByOid.get(type);
    return found === undefined || typeRunsCode(catalog, found);
  });
}

/** Casts between types that came with the server run code without any name of it in a text. */
export function builtInsAreCastByCode(catalog: Catalog): boolean {
  return catalog.castTypes.some(({ source, target }) => source < FIRST_USER_OID && target < FIRST_USER_OID);
}
