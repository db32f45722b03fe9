/** What becomes of the result of one statement: which of its columns come in clear from the server and leave as tokens. */
import type { SnapshotPseudonym } from '#crds/policy/snapshot.ts';
import type { Column } from '../../wire/postgres/messages/row_description.ts';
import type { Pseudonyms } from '../detect-strategy.ts';
import { type CellMask, createCellMask } from './token-cell.ts';
import type { Cell } from './token-types.ts';

export interface ResultPlan {
  /** How many columns the result has. */
  readonly columns: number;
  readonly tokens: readonly TokenColumn[];
  /** Of COPY: its first line names the columns. */
  readonly copy: { readonly csv: boolean; readonly header: boolean } | null;
}

export interface TokenColumn {
  readonly index: number;
  readonly name: string;
  /** OID and attribute number of the column that the server must say it comes from. */
  readonly table: number;
  readonly attribute: number;
  /** OID of the type on the wire: of a domain its base type. */
  readonly dataType: number;
  readonly cell: Cell;
  readonly strategy: SnapshotPseudonym;
}

/** Of a masked column, by OID and attribute number. */
export type IsMasked = (table: number, attribute: number) => boolean;

/**
 * What is wrong with a result that the server describes so, or null. Each column of the plan must come from where the plan says, as the type that it
 * says; and no other column may come from a masked one as it is.
 */
export function disagreement(plan: ResultPlan | null, columns: readonly Column[], isMasked: IsMasked | null): string | null {
  if (plan !== null && columns.length !== plan.columns)
    return 'the result has another number of columns than the statement was rewritten for';
  for (const [index, { table, attribute, dataType }] of columns.entries()) {
    const token = plan?.tokens.find((one) => one.index === index);
    if (token === undefined) {
      if (table !== 0 && isMasked?.(table, attribute)) return 'a masked column would be shown as it is';
    } else if (token.table !== table || token.attribute !== attribute || token.dataType !== dataType) {
      return 'a column of the result is not the one that the statement was rewritten for';
    }
  }
  return null;
}

/** By index, what replaces the values of the columns of the plan. `modifier` of the type on the wire may be tighter than what the catalog says. */
export function cellsOf(
  plan: ResultPlan | null,
  columns: readonly Column[],
  formats: readonly number[],
  pseudonyms: Pseudonyms,
): ReadonlyMap<number, CellMask> {
  const cells = new Map<number, CellMask>();
  for (const { index, cell, strategy } of plan?.tokens ?? []) {
    const bounded = withinLength(cell, columns[index]?.modifier ?? -1);
    cells.set(index, createCellMask(bounded, formats[index] ?? 0, pseudonyms(strategy)));
  }
  return cells;
}

/** Of varchar(n) and char(n) the modifier is n + 4. */
function withinLength(cell: Cell, modifier: number): Cell {
  if (cell.kind === 'array') return { ...cell, element: withinLength(cell.element, modifier) as typeof cell.element };
  if (cell.kind !== 'text' || modifier < 4) return cell;
  return { ...cell, maxLength: Math.min(cell.maxLength ?? modifier - 4, modifier - 4) };
}
