/** A catalog seen through one set of masks: which columns are masked, what is reached through views and partitions. Remembers its answers. */
import type { ColumnMask, MaskPolicy } from '#crds/policy/mask.ts';
import { stricter } from '#crds/policy/masking.ts';
import { readFacts, type StatementFacts } from '#sidecar/wire/postgres/sql/facts.ts';
import { parseSql } from '#sidecar/wire/postgres/sql/parse.ts';
import type { Catalog, Column, Relation } from './catalog.ts';
import { FIRST_USER_OID } from './catalog-queries.ts';
import { type Resolver, resolveRelation } from './resolve.ts';
import type { IsMasked } from './result-plan.ts';
import type { Source } from './rewrite.ts';

export interface ViewBody {
  readonly definition: string;
  readonly facts: StatementFacts;
}

const MAX_SOURCES = 4096;

export class MaskedCatalog {
  readonly catalog: Catalog;
  readonly mask: MaskPolicy;
  readonly #masks = new Map<number, ReadonlyMap<string, ColumnMask>>();
  readonly #touches = new Map<number, boolean>();
  readonly #reached = new Map<number, readonly Relation[]>();
  readonly #carriedTo = new Map<number, readonly Relation[]>();
  readonly #bodies = new Map<number, ViewBody | null>();
  readonly #sources = new Map<string, Source>();

  constructor(catalog: Catalog, mask: MaskPolicy) {
    this.catalog = catalog;
    this.mask = mask;
  }

  /** By column name. A mask on a partition, child or parent counts for the columns of the same name in the whole family. */
  maskedColumns(relation: Relation): ReadonlyMap<string, ColumnMask> {
    const known = this.#masks.get(relation.oid);
    if (known !== undefined) return known;
    const masks = new Map<string, ColumnMask>();
    if (this.mask.active && relation.oid >= FIRST_USER_OID) {
      const family = this.#family(relation);
      for (const column of relation.columns) {
        for (const member of family) {
          const mask = this.mask.column(member.schema, member.name, column.name);
          if (mask !== null) masks.set(column.name, together(masks.get(column.name), mask));
        }
      }
    }
    this.#masks.set(relation.oid, masks);
    return masks;
  }

  /** It has masked columns, or is a view that reads what has. */
  touchesMasked(relation: Relation): boolean {
    const known = this.#touches.get(relation.oid);
    if (known !== undefined) return known;
    this.#touches.set(relation.oid, false); // a view can't read itself; against a broken catalog
    const touches = this.maskedColumns(relation).size > 0 || relation.dependsOn.some((oid) => this.#touchesOid(oid));
    this.#touches.set(relation.oid, touches);
    return touches;
  }

  /** It names a relation of which a column is masked by a token or a value of the same form. */
  hasPseudonyms(facts: StatementFacts, at: Resolver): boolean {
    return facts.relations.some((fact) => {
      const relation = fact.role === 'From' ? resolveRelation(at, fact) : null;
      if (relation === null) return false;
      return [...this.maskedColumns(relation).values()].some(
        ({ strategy }) => strategy.type === 'Token' || strategy.type === 'FormatPreserving',
      );
    });
  }

  /** By OID and attribute number: what may never be shown as it is. */
  readonly isMasked: IsMasked = (table, attribute) => {
    const relation = this.catalog.relationsByOid.get(table);
    const column = relation?.columns.find((one) => one.attnum === attribute);
    return relation !== undefined && column !== undefined && this.maskedColumns(relation).has(column.name);
  };

  /** What lies behind a relation: what a view reads, partitions and parents, to any depth; not the relation itself. */
  reached(relation: Relation): readonly Relation[] {
    return this.#follow(this.#reached, relation, (next) => [...next.dependsOn, ...next.parents, ...next.children]);
  }

  /** Where a change of its rows may be carried on to: what lies behind it, and what has a foreign key to any of that, to any depth. */
  carriedTo(relation: Relation): readonly Relation[] {
    return this.#follow(this.#carriedTo, relation, (next) => [...next.dependsOn, ...next.parents, ...next.children, ...next.referencedBy]);
  }

  #follow(
    known: Map<number, readonly Relation[]>,
    relation: Relation,
    next: (relation: Relation) => readonly number[],
  ): readonly Relation[] {
    const before = known.get(relation.oid);
    if (before !== undefined) return before;
    const seen = new Map([[relation.oid, relation]]);
    for (const one of seen.values()) {
      for (const oid of next(one)) {
        const other = this.catalog.relationsByOid.get(oid);
        if (other !== undefined && !seen.has(oid)) seen.set(oid, other);
      }
    }
    const found = [...seen.values()].slice(1);
    known.set(relation.oid, found);
    return found;
  }

  /** The parsed definition of a view; null where there is none or it can't be read. */
  viewBody(relation: Relation): ViewBody | null {
    const known = this.#bodies.get(relation.oid);
    if (known !== undefined) return known;
    const body = readBody(relation);
    this.#bodies.set(relation.oid, body);
    return body;
  }

  /** What stands for a relation in a rewritten statement; made once. */
  source(relation: Relation, only: boolean, hidden: readonly Column[], make: () => Source): Source {
    const key = `${relation.oid}${only ? ' only' : ''} ${hidden.map((column) => column.attnum).join()}`;
    const known = this.#sources.get(key);
    if (known !== undefined) return known;
    const made = make();
    // One for each set of hidden columns that clients ask for.
    if (this.#sources.size >= MAX_SOURCES) this.#sources.clear();
    if (made.ok) this.#sources.set(key, made);
    return made;
  }

  #touchesOid(oid: number): boolean {
    const relation = this.catalog.relationsByOid.get(oid);
    return relation !== undefined && this.touchesMasked(relation);
  }

  /** Everything joined to it by inheritance. */
  #family(relation: Relation): readonly Relation[] {
    const seen = new Map([[relation.oid, relation]]);
    for (const member of seen.values()) {
      for (const oid of [...member.parents, ...member.children]) {
        const other = this.catalog.relationsByOid.get(oid);
        if (other !== undefined && !seen.has(oid)) seen.set(oid, other);
      }
    }
    return [...seen.values()];
  }
}

function readBody(relation: Relation): ViewBody | null {
  if (relation.definition === null) return null;
  const parsed = parseSql(relation.definition);
  const only = parsed.ok && parsed.statements.length === 1 ? parsed.statements[0] : undefined;
  if (only === undefined) return null;
  try {
    return { definition: relation.definition, facts: readFacts(only.stmt) };
  } catch {
    return null;
  }
}

function together(known: ColumnMask | undefined, mask: ColumnMask): ColumnMask {
  if (known === undefined) return mask;
  return {
    strategy: stricter(known.strategy, mask.strategy),
    authors: [...known.authors, ...mask.authors],
    strict: known.strict || mask.strict,
  };
}
