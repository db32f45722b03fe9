import { type Fields, fields, isFields, text, unwrap } from '#sidecar/wire/postgres/sql/ast.ts';

/** Byte offsets move; nothing else may. */
const OFFSETS: ReadonlySet<string> = new Set([
  'location',
  'stmt_location',
  'stmt_len',
  'rexpr_list_start',
  'rexpr_list_end',
  'list_start',
  'list_end',
]);

/** For a RangeVar of a view's text that only gets `pg_catalog.` before it. */
export const QUALIFIED: Fields = Object.freeze({});

/**
 * True where `after` is the tree of `before`, with each RangeVar of `replaced` turned into a sub-select that has the tree given
 * there and the alias that the reference had. So every other name is the one that was judged.
 */
export function sameButForReplaced(before: unknown, after: unknown, replaced: ReadonlyMap<Fields, Fields>): boolean {
  if (Array.isArray(before)) {
    return (
      Array.isArray(after) &&
      before.length === after.length &&
      before.every((item, index) => sameButForReplaced(item, after[index], replaced))
    );
  }
  if (!isFields(before)) return before === after;
  if (!isFields(after)) return false;
  const found = unwrap(before);
  const subquery = found?.type === 'RangeVar' ? replaced.get(found.node) : undefined;
  if (found !== null && subquery === QUALIFIED) {
    return sameButForReplaced({ RangeVar: { ...found.node, schemaname: 'pg_catalog' } }, after, NOTHING);
  }
  if (found !== null && subquery !== undefined) return isReplacement(found.node, after, subquery);
  // A RangeVar without its type around it is never replaced.
  if (replaced.has(before)) return false;
  const left = Object.keys(before).filter((key) => !OFFSETS.has(key));
  const right = Object.keys(after).filter((key) => !OFFSETS.has(key));
  return (
    left.length === right.length && left.every((key) => Object.hasOwn(after, key) && sameButForReplaced(before[key], after[key], replaced))
  );
}

const NOTHING: ReadonlyMap<Fields, Fields> = new Map();

function isReplacement(reference: Fields, after: Fields, subquery: Fields): boolean {
  const found = unwrap(after);
  if (found === null || found.type !== 'RangeSubselect' || found.node.lateral === true) return false;
  if (Object.keys(found.node).some((key) => key !== 'subquery' && key !== 'alias')) return false;
  const alias = fields(found.node.alias);
  const wanted = isFields(reference.alias) ? reference.alias : { aliasname: text(reference.relname) };
  return sameButForReplaced(wanted, alias, NOTHING) && sameButForReplaced(subquery, found.node.subquery, NOTHING);
}

/** The tree with each node of `by` replaced by what is given there; in a list by several. The same object where nothing is. */
export function substitute<T>(tree: T, by: ReadonlyMap<Fields, readonly unknown[]>): T {
  return by.size === 0 ? tree : (replaceIn(tree, by) as T);
}

/** What holds nothing that is replaced stays the same object. */
function replaceIn(value: unknown, by: ReadonlyMap<Fields, readonly unknown[]>): unknown {
  if (Array.isArray(value)) {
    const items = value.flatMap((item) => replacementOf(item, by) ?? [replaceIn(item, by)]);
    return items.length === value.length && items.every((item, index) => item === value[index]) ? value : items;
  }
  if (!isFields(value)) return value;
  const found = replacementOf(value, by);
  if (found !== undefined) return found.length === 1 ? found[0] : undefined;
  const entries = Object.entries(value).map(([name, item]): [string, unknown] => [name, replaceIn(item, by)]);
  return entries.every(([name, item]) => item === value[name]) ? value : Object.fromEntries(entries);
}

function replacementOf(value: unknown, by: ReadonlyMap<Fields, readonly unknown[]>): readonly unknown[] | undefined {
  const node = unwrap(value)?.node;
  return node === undefined ? undefined : by.get(node);
}
