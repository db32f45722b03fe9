/** Which types a token or a value of the same form can be told in. */
import type { SnapshotPseudonym } from '#crds/policy/snapshot.ts';
import type { Catalog, CatalogType } from './catalog.ts';
import { FIRST_USER_OID } from './catalog-queries.ts';

/** How a value of a type is read and written. `bits` of integers is their size. */
export type Cell =
  /** `padded`: blanks at the end do not count. `folded`: nor does the case. `maxLength` in characters, null where there is none. */
  | { readonly kind: 'text'; readonly padded: boolean; readonly folded: boolean; readonly maxLength: number | null }
  | { readonly kind: 'integer'; readonly bits: 16 | 32 | 64 }
  | { readonly kind: 'numeric' | 'uuid' | 'json' | 'jsonb' | 'bytea' }
  | { readonly kind: 'array'; readonly elementType: number; readonly element: Exclude<Cell, { kind: 'array' }> };

type Scalar = Exclude<Cell, { kind: 'array' }>;

const TEXTS = new Set(['text', 'varchar', 'bpchar', 'name']);
const INTEGER_BITS: ReadonlyMap<string, 16 | 32 | 64> = new Map([
  ['int2', 16],
  ['int4', 32],
  ['int8', 64],
]);

/** Null where the strategy has no form in the type: the server gives the typed placeholder. `typmod` as `(40)`. */
export function cellOf(catalog: Catalog, type: CatalogType, typmod: string, strategy: SnapshotPseudonym['type']): Cell | null {
  if (type.element === 0) return scalarOf(type, typmod, strategy);
  const element = catalog.typesByOid.get(type.element);
  const inner = element === undefined ? null : scalarOf(element, typmod, strategy);
  // Built-in vectors have an element type too, and another form.
  return element === undefined || inner === null || type.name !== `_${element.name}`
    ? null
    : { kind: 'array', elementType: element.oid, element: inner };
}

function scalarOf(type: CatalogType, typmod: string, strategy: SnapshotPseudonym['type']): Scalar | null {
  if (type.kind !== 'b' || type.element !== 0) return null;
  const { name } = type;
  if (name === 'citext' && type.oid >= FIRST_USER_OID) return { kind: 'text', padded: false, folded: true, maxLength: null };
  if (type.oid >= FIRST_USER_OID) return null;
  if (TEXTS.has(name)) return { kind: 'text', padded: name === 'bpchar', folded: false, maxLength: lengthOf(name, typmod) };
  const bits = INTEGER_BITS.get(name);
  // A token of 16 bits would soon be another value's too.
  if (bits !== undefined) return bits === 16 && strategy === 'Token' ? null : { kind: 'integer', bits };
  switch (name) {
    case 'uuid':
      return { kind: name };
    case 'numeric':
      return strategy === 'FormatPreserving' ? { kind: name } : null;
    case 'json':
    case 'jsonb':
    case 'bytea':
      return strategy === 'Token' ? { kind: name } : null;
    default:
      return null;
  }
}

const MAX_NAME = 63;

export function lengthOf(name: string, typmod: string): number | null {
  if (name === 'name') return MAX_NAME;
  const digits = /^\((\d+)\)$/.exec(typmod)?.[1];
  return digits === undefined ? null : Number(digits);
}
