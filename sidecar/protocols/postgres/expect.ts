import type { ErrorFields } from '../../wire/postgres/messages/error_notice.ts';
import type { Change } from './names.ts';
import type { Run } from './run.ts';
import type { Named, Portal } from './statements.ts';

/**
 * What the server still owes, in the order in which it will answer. `segment` counts the client's segments: the messages up to a Sync,
 * or one simple Query. After an error the server skips the rest of a segment, and so does the queue.
 */
export type Expect = { readonly segment: number } & (
  | { readonly type: 'parse' | 'bind' | 'close'; readonly change: Change<Named> }
  /** `of`: null is a cursor of SQL's. `swallow`: our own Describe, for the row filter; its answer is not the client's. */
  | { readonly type: 'describe'; readonly of: Named | null; readonly target: 'statement' | 'portal'; readonly swallow: boolean }
  | { readonly type: 'execute'; readonly run: Run; readonly portal: Portal }
  | { readonly type: 'query'; readonly run: Run }
  /** A statement that the server rejects itself, so that its state follows; our error goes in place of its own. */
  | { readonly type: 'poison'; readonly fields: ErrorFields; readonly placedByServer: boolean; readonly simple: boolean }
  /** A statement of ours: everything up to ReadyForQuery is ours. */
  | { readonly type: 'own'; readonly own: OwnQuery }
  | { readonly type: 'sync' }
);

export interface OwnQuery {
  readonly rows: (string | null)[][];
  /** Inside of the client's segment: CloseComplete that are still to come. Null: it ends with ReadyForQuery. */
  closesLeft: number | null;
  failed: boolean;
  readonly done: (ok: boolean) => void;
}

export class ExpectQueue {
  #items: Expect[] = [];
  #head = 0;

  get head(): Expect | undefined {
    return this.#items[this.#head];
  }

  get empty(): boolean {
    return this.#head >= this.#items.length;
  }

  get length(): number {
    return this.#items.length - this.#head;
  }

  push(item: Expect): void {
    this.#items.push(item);
  }

  shift(): void {
    this.#head++;
    if (this.#head >= this.#items.length) {
      this.#items = [];
      this.#head = 0;
    } else if (this.#head > 256) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
  }

  /** After an error of the extended protocol: all up to the next Sync is skipped. Returns what was dropped and whether a Sync is there. */
  skipToSync(): { readonly dropped: readonly Expect[]; readonly synced: boolean } {
    const dropped: Expect[] = [];
    while (this.head !== undefined && this.head.type !== 'sync') {
      dropped.push(this.head);
      this.shift();
    }
    return { dropped, synced: this.head !== undefined };
  }

  /** COPY FROM STDIN in the extended protocol: the server swallows each Sync that was sent before the copy's end. */
  dropSyncsBehindHead(): void {
    const [head, ...rest] = this.#items.slice(this.#head);
    this.#items = head === undefined ? [] : [head, ...rest.filter((item) => item.type !== 'sync')];
    this.#head = 0;
  }

  runs(): Run[] {
    const runs: Run[] = [];
    for (const item of this.#items.slice(this.#head)) if (item.type === 'execute' || item.type === 'query') runs.push(item.run);
    return runs;
  }
}
