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

export class NameTable<V> {
  readonly #confirmed = { statement: new Map<string, V>(), portal: new Map<string, V>() };
  #pending: Change<V>[] = [];

  lookup(kind: NameKind, name: string, segment: number): Found<V> {
    for (let i = this.#pending.length - 1; i >= 0; i--) {
      const change = this.#pending[i];
      if (change === undefined || change.kind !== kind || change.name !== name) continue;
      if (change.segment !== segment) return { type: 'wait' };
      return change.value === null ? { type: 'unknown' } : { type: 'known', value: change.value };
    }
    const value = this.#confirmed[kind].get(name);
    return value === undefined ? { type: 'unknown' } : { type: 'known', value };
  }

  propose(change: Change<V>): Change<V> {
    this.#pending.push(change);
    return change;
  }

  confirm(change: Change<V>): void {
    const at = this.#pending.indexOf(change);
    if (at < 0) return;
    this.#pending.splice(at, 1);
    if (change.value === null) this.#confirmed[change.kind].delete(change.name);
    else this.#confirmed[change.kind].set(change.name, change.value);
  }

  /** The server reported an error: what it has not confirmed of that segment did not happen. */
  rollback(segment: number): void {
    this.#pending = this.#pending.filter((change) => change.segment !== segment);
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
    for (const { kind, value } of this.#pending) if (kind === 'portal' && value !== null) portals.push(value);
    return portals;
  }

  get size(): number {
    return this.#confirmed.statement.size + this.#confirmed.portal.size + this.#pending.length;
  }
}
