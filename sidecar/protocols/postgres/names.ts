/**
 * Prepared statements and portals of a session, as the server has them. A change is pending until the server's answer confirms it,
 * and an error rolls back what is pending of its segment (the messages up to a Sync, or one simple Query).
 *
 * Within a segment a later message may rely on an earlier one: if the earlier fails, the server skips the later. Across a Sync it
 * may not: the earlier may have failed and the later would then meet another statement of the same name. So such a look-up waits.
 */
export type NameKind = 'statement' | 'portal';

export interface Change<V> {
  readonly kind: NameKind;
  readonly name: string;
  readonly segment: number;
  /** Null: the name is closed. */
  readonly value: V | null;
}

export type Found<V> = { readonly type: 'known'; readonly value: V } | { readonly type: 'unknown' } | { readonly type: 'wait' };

/** Changes of one name that the server has not confirmed, oldest first. */
interface Waiting<V> {
  readonly kind: NameKind;
  readonly name: string;
  /** By how much they change the number of names: 1, 0 or -1. */
  difference: number;
  readonly changes: Change<V>[];
}

export class NameTable<V> {
  readonly #confirmed = { statement: new Map<string, V>(), portal: new Map<string, V>() };
  readonly #pending = new Map<string, Waiting<V>>();
  /** Sum of the differences. */
  readonly #added = { statement: 0, portal: 0 };

  lookup(kind: NameKind, name: string, segment: number): Found<V> {
    const change = this.#pending.get(keyOf(kind, name))?.changes.at(-1);
    if (change !== undefined) {
      if (change.segment !== segment) return { type: 'wait' };
      return change.value === null ? { type: 'unknown' } : { type: 'known', value: change.value };
    }
    const value = this.#confirmed[kind].get(name);
    return value === undefined ? { type: 'unknown' } : { type: 'known', value };
  }

  propose(change: Change<V>): Change<V> {
    const { kind, name } = change;
    const key = keyOf(kind, name);
    const waiting = this.#pending.get(key) ?? { kind, name, difference: 0, changes: [] };
    waiting.changes.push(change);
    this.#pending.set(key, waiting);
    this.#count(waiting);
    return change;
  }

  confirm(change: Change<V>): void {
    const key = keyOf(change.kind, change.name);
    const waiting = this.#pending.get(key);
    const at = waiting?.changes.indexOf(change) ?? -1;
    if (waiting === undefined || at < 0) return;
    waiting.changes.splice(at, 1);
    if (change.value === null) this.#confirmed[change.kind].delete(change.name);
    else this.#confirmed[change.kind].set(change.name, change.value);
    if (waiting.changes.length === 0) this.#pending.delete(key);
    this.#count(waiting);
  }

  /** The server reported an error: what it has not confirmed of that segment did not happen. */
  rollback(segment: number): void {
    for (const [key, waiting] of this.#pending) {
      const left = waiting.changes.filter((change) => change.segment !== segment);
      if (left.length === waiting.changes.length) continue;
      waiting.changes.splice(0, waiting.changes.length, ...left);
      if (left.length === 0) this.#pending.delete(key);
      this.#count(waiting);
    }
  }

  #count(waiting: Waiting<V>): void {
    const { kind, name, changes } = waiting;
    const last = changes.at(-1);
    const isThere = this.#confirmed[kind].has(name);
    const willBe = last === undefined ? isThere : last.value !== null;
    const difference = Number(willBe) - Number(isThere);
    this.#added[kind] += difference - waiting.difference;
    waiting.difference = difference;
  }

  /** Portals end with their transaction. */
  transactionEnded(): void {
    if (this.#confirmed.portal.size > 0) this.#confirmed.portal.clear();
  }

  /** A simple Query drops the unnamed statement and portal. */
  dropUnnamed(): void {
    this.#confirmed.statement.delete('');
    this.#confirmed.portal.delete('');
  }

  deallocate(what: { readonly all: true } | { readonly name: string }): void {
    if ('all' in what) this.#confirmed.statement.clear();
    else this.#confirmed.statement.delete(what.name);
  }

  discardAll(): void {
    this.#confirmed.statement.clear();
    this.#confirmed.portal.clear();
  }

  /** Every portal that the server may hold now: few, since they end with their transaction. */
  portals(): V[] {
    const portals = [...this.#confirmed.portal.values()];
    for (const { kind, changes } of this.#pending.values()) {
      if (kind !== 'portal') continue;
      for (const { value } of changes) if (value !== null) portals.push(value);
    }
    return portals;
  }

  /** Names that the server has, or will have if all goes well; a name that is used again and again is one. */
  size(kind: NameKind): number {
    return this.#confirmed[kind].size + this.#added[kind];
  }
}

const keyOf = (kind: NameKind, name: string): string => (kind === 'statement' ? `s${name}` : `p${name}`);
