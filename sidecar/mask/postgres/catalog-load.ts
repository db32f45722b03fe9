/** Reads a Catalog through a session of its own. */
import { createHash } from 'node:crypto';
import { ACCESS_FINGERPRINT, ACCESS_QUERIES, buildAccess } from './access.ts';
import type {
  Catalog,
  CatalogFunction,
  CatalogOperator,
  CatalogType,
  Column,
  Query,
  Relation,
  RelationCode,
  RelationKind,
} from './catalog.ts';
import {
  BEGIN,
  CAST_TYPES,
  COLUMNS,
  COMMIT,
  DEPENDENCIES,
  ENCODING,
  FINGERPRINT,
  FUNCTIONS,
  INHERITANCE,
  OPERATORS,
  RELATION_CODE,
  RELATIONS,
  SEQUENCE_OWNERS,
  TYPES,
} from './catalog-queries.ts';

type Row = readonly (string | null)[];
type Rows = readonly Row[];

const ATTEMPTS = 4;
/** Queries before those about access. */
const BEFORE_ACCESS = 11;

/** The fingerprint of what is committed now. */
export async function readFingerprint(query: Query): Promise<string> {
  return (
    (await query(`${FINGERPRINT} || '/' || ${ACCESS_FINGERPRINT.map((part) => `coalesce(${part}, '')`).join(" || '/' || ")}`))[0]?.[0] ?? ''
  );
}

/**
 * A snapshot, with the fingerprint that it belongs to. View definitions come from the server's caches, which run ahead of the
 * transaction's snapshot: so the fingerprint must be the same before and after, or it is read again.
 */
export async function loadCatalog(query: Query): Promise<{ readonly catalog: Catalog; readonly fingerprint: string }> {
  let before = await readFingerprint(query);
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const catalog = await readOnce(query);
    const after = await readFingerprint(query);
    if (after === before && catalog !== null) return { catalog, fingerprint: after };
    before = after;
  }
  throw new Error('the catalog changes faster than it can be read');
}

/** Null where an object went away in between. */
async function readOnce(query: Query): Promise<Catalog | null> {
  await query(BEGIN);
  try {
    const parts: Rows[] = [];
    for (const sql of [
      RELATIONS,
      COLUMNS,
      DEPENDENCIES,
      INHERITANCE,
      FUNCTIONS,
      OPERATORS,
      TYPES,
      CAST_TYPES,
      SEQUENCE_OWNERS,
      ENCODING,
      RELATION_CODE,
      ...ACCESS_QUERIES,
    ]) {
      parts.push(await query(sql));
    }
    await query(COMMIT);
    return buildCatalog(parts);
  } catch (error) {
    await query('ROLLBACK');
    if (isFields(error) && typeof error.code === 'string' && error.code.startsWith('42')) return null;
    throw error;
  }
}

function isFields(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function buildCatalog(parts: readonly Rows[]): Catalog {
  const [relationRows = [], columnRows = [], dependencyRows = [], inheritance = [], functionRows = [], operatorRows = []] = parts;
  const [, , , , , , typeRows = [], castRows = [], ownerRows = [], encodingRows = [], codeRows = []] = parts;
  const functions = functionRows.map(toFunction);
  const functionsByOid = new Map(functions.map((item) => [item.oid, item]));
  const operators = operatorRows.map((row): CatalogOperator => {
    return { oid: int(row[0]), schema: str(row[1]), name: str(row[2]), function: functionsByOid.get(int(row[3])) ?? null };
  });
  const columns = grouped(columnRows, (row) => int(row[0]), toColumn);
  const dependsOn = grouped(
    dependencyRows,
    (row) => int(row[0]),
    (row) => int(row[1]),
  );
  const parents = grouped(
    inheritance,
    (row) => int(row[0]),
    (row) => int(row[1]),
  );
  const children = grouped(
    inheritance,
    (row) => int(row[1]),
    (row) => int(row[0]),
  );
  const owners = new Map(ownerRows.map((row) => [int(row[0]), { relation: int(row[1]), column: str(row[2]) }]));
  const code = grouped(
    codeRows,
    (row) => int(row[0]),
    (row) => ({ function: functionsByOid.get(int(row[1])), why: str(row[2]) as RelationCode }),
  );
  const relations = relationRows.map((row): Relation => {
    const oid = int(row[0]);
    return {
      oid,
      schema: str(row[1]),
      name: str(row[2]),
      kind: RELATION_KINDS[str(row[3])] ?? 'Index',
      temporary: row[4] === 't',
      columns: columns.get(oid) ?? [],
      definition: row[5] === null || row[5] === undefined ? null : row[5].trim().replace(/;$/, ''),
      dependsOn: dependsOn.get(oid) ?? [],
      parents: parents.get(oid) ?? [],
      children: children.get(oid) ?? [],
      hasRules: row[6] === 't',
      hasTriggers: row[7] === 't',
      hasCodeDefaults: row[8] === 't',
      referencedBy: (row[9] ?? '').split(',').flatMap((oid) => (oid === '' ? [] : [int(oid)])),
      code: (code.get(oid) ?? []).flatMap((item) => (item.function === undefined ? [] : [{ function: item.function, why: item.why }])),
      ownedBy: owners.get(oid) ?? null,
    };
  });
  const types = typeRows.map(toType);
  return {
    version: contentHash(parts),
    encoding: str(encodingRows[0]?.[0]),
    relations: bySchema(relations),
    relationsByOid: new Map(relations.map((item) => [item.oid, item])),
    functions: grouped(
      functions,
      (item) => item.name,
      (item) => item,
    ),
    operators: grouped(
      operators,
      (item) => item.name,
      (item) => item,
    ),
    types: bySchema(types),
    typesByOid: new Map(types.map((item) => [item.oid, item])),
    castTypes: castRows.map((row) => ({ source: int(row[0]), target: int(row[1]) })),
    access: buildAccess(parts.slice(BEFORE_ACCESS), (oid) => functionsByOid.get(oid)),
  };
}

const RELATION_KINDS: Readonly<Record<string, RelationKind>> = {
  r: 'Table',
  p: 'Partitioned',
  v: 'View',
  m: 'MaterializedView',
  f: 'Foreign',
  S: 'Sequence',
  c: 'Composite',
};
const FUNCTION_KINDS: Readonly<Record<string, CatalogFunction['kind']>> = { f: 'Function', a: 'Aggregate', w: 'Window', p: 'Procedure' };

function toFunction(row: Row): CatalogFunction {
  return {
    oid: int(row[0]),
    schema: str(row[1]),
    name: str(row[2]),
    kind: FUNCTION_KINDS[str(row[3])] ?? 'Procedure',
    volatility: row[4] === 'i' ? 'Immutable' : row[4] === 's' ? 'Stable' : 'Volatile',
    language: str(row[5]),
    securityDefiner: row[6] !== 'f',
    ofExtension: row[7] === 't',
    definitionSha256: row[8] ?? null,
    body: row[9] ?? null,
  };
}

function toColumn(row: Row): Column {
  const [name, attnum, type, typmod] = [str(row[1]), int(row[2]), int(row[3]), str(row[4])];
  return { name, attnum, type, typmod, readable: row[5] === 't', generated: row[6] === 't' };
}

function toType(row: Row): CatalogType {
  return {
    oid: int(row[0]),
    schema: str(row[1]),
    name: str(row[2]),
    kind: str(row[3]) as CatalogType['kind'],
    base: int(row[4]),
    element: int(row[5]),
    relation: int(row[6]),
    checksByFunction: row[7] !== 'f',
  };
}

function int(value: string | null | undefined): number {
  return Number(value ?? 0);
}

function str(value: string | null | undefined): string {
  return value ?? '';
}

function grouped<T, K, V>(items: readonly T[], keyOf: (item: T) => K, valueOf: (item: T) => V): Map<K, V[]> {
  const groups = new Map<K, V[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [valueOf(item)]);
    else group.push(valueOf(item));
  }
  return groups;
}

function bySchema<T extends { readonly schema: string; readonly name: string }>(items: readonly T[]): Map<string, Map<string, T>> {
  const schemas = new Map<string, Map<string, T>>();
  for (const item of items) {
    const schema = schemas.get(item.schema);
    if (schema === undefined) schemas.set(item.schema, new Map([[item.name, item]]));
    else schema.set(item.name, item);
  }
  return schemas;
}

/** Over the rows in a fixed order, so that equal databases have equal versions. */
function contentHash(parts: readonly Rows[]): string {
  const hash = createHash('sha256');
  for (const rows of parts) {
    for (const line of rows.map((row) => JSON.stringify(row)).sort()) hash.update(line);
    hash.update('\n');
  }
  return `sha256:${hash.digest('hex')}`;
}
