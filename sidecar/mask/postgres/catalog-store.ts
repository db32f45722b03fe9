/** One catalog per resource, database and user, loaded by a session of its own and kept fresh while sessions are open. */
import type { Catalog, CatalogConnection, CatalogKey } from './catalog.ts';
import { loadCatalog, readFingerprint } from './catalog-load.ts';
import { SETUP } from './catalog-queries.ts';

export interface CatalogStoreOptions {
  connect(key: CatalogKey): Promise<CatalogConnection>;
  /** Between two looks for changes, while a lease is open. */
  readonly pollMs?: number;
  /** How long a catalog that nobody leases is kept: short sessions that follow each other share one. */
  readonly lingerMs?: number;
  /** A look may fail this long before the snapshot is no longer given out. */
  readonly staleMs?: number;
  onError?(key: CatalogKey, error: unknown): void;
}

export interface CatalogLease {
  /** Resolves when the first snapshot is there; rejects where it can't be had. */
  ready(): Promise<void>;
  /** The latest snapshot; null before the first, and while one that is known to be stale can't be replaced. */
  current(): Catalog | null;
  /** DDL was seen. Resolves with a snapshot that was begun after the call. `current()` is null until then. */
  invalidate(): Promise<void>;
  /** Looks for changes now. Resolves with true where `current()` is another than before. */
  freshen(): Promise<boolean>;
  release(): void;
}

/**
 * Races that remain: DDL of another session counts from its commit, and shows here after at most `pollMs` and the time of a load;
 * DDL in a transaction of this session that is still open is not seen at all, so names that it makes are not resolved.
 */
export class CatalogStore {
  readonly #entries = new Map<string, CatalogEntry>();
  readonly #options: CatalogStoreOptions;

  constructor(options: CatalogStoreOptions) {
    this.#options = options;
  }

  /** Shares the catalog of the key with the other leases of it. */
  lease(key: CatalogKey): CatalogLease {
    const id = JSON.stringify([key.resource, key.database, key.user]);
    const entry = this.#entries.get(id) ?? new CatalogEntry(key, this.#options);
    this.#entries.set(id, entry);
    entry.leases += 1;
    // What was changed before a session began counts for it.
    const openedAt = performance.now();
    let released = false;
    return {
      ready: () => entry.ready(openedAt),
      current: () => entry.current(openedAt),
      invalidate: () => entry.refresh(),
      freshen: () => entry.freshen(),
      release: () => {
        if (released) return;
        released = true;
        entry.leases -= 1;
        if (entry.leases > 0) return;
        const linger = setTimeout(() => {
          if (entry.leases > 0 || this.#entries.get(id) !== entry) return;
          this.#entries.delete(id);
          void entry.stop();
        }, this.#options.lingerMs ?? 30_000);
        linger.unref();
      },
    };
  }

  async close(): Promise<void> {
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    await Promise.all(entries.map((entry) => entry.stop()));
  }
}

class CatalogEntry {
  leases = 0;
  readonly #key: CatalogKey;
  readonly #options: CatalogStoreOptions;
  #catalog: Catalog | null = null;
  #fingerprint = '';
  #freshAt = 0;
  #connection: CatalogConnection | null = null;
  /** Asked for, and answered: a snapshot is good only where they are equal. */
  #asked = 0;
  #answered = -1;
  /** Somebody goes by it. Where nothing is masked and no rule names anything, nobody does, and no DDL makes it read. */
  #wanted = false;
  #stopped = false;
  #timer: NodeJS.Timeout | null = null;
  /** A look for changes that has not begun. */
  #look: Promise<boolean> | null = null;
  /** Work on the one connection, one at a time. */
  #queue: Promise<unknown> = Promise.resolve();

  constructor(key: CatalogKey, options: CatalogStoreOptions) {
    this.#key = key;
    this.#options = options;
  }

  /** Null where it was last compared with the database before that time. */
  current(since: number): Catalog | null {
    if (this.#answered !== this.#asked || this.#freshAt < since) return null;
    return performance.now() - this.#freshAt <= (this.#options.staleMs ?? 15_000) ? this.#catalog : null;
  }

  async ready(since: number): Promise<void> {
    this.#wanted = true;
    if (this.current(0) === null) await this.#load();
    if (this.current(since) === null && (await this.#isChanged())) await this.refresh();
  }

  async refresh(): Promise<void> {
    this.#asked += 1;
    if (!this.#wanted) return;
    await this.#load();
  }

  /** Who asks while a look has not begun yet shares it. */
  async freshen(): Promise<boolean> {
    const before = this.#catalog;
    this.#look ??= this.#isChanged(() => {
      this.#look = null;
    });
    if (await this.#look) await this.refresh();
    return this.#catalog !== before;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#catalog = null;
    await this.#queue.catch(() => undefined);
    await this.#drop();
  }

  /** Joins a load that is not begun yet; else begins one after the one that runs. */
  #load(): Promise<void> {
    return this.#enqueue(async () => {
      const asked = this.#asked;
      if (this.current(0) !== null && this.#answered === asked) return;
      const begun = performance.now();
      const { catalog, fingerprint } = await loadCatalog((await this.#connected()).query);
      if (this.#catalog?.version !== catalog.version) this.#catalog = catalog;
      this.#fingerprint = fingerprint;
      this.#answered = asked;
      this.#freshAt = begun;
      this.#schedule();
    });
  }

  #isChanged(begins: () => void = () => {}): Promise<boolean> {
    return this.#enqueue(async () => {
      begins();
      const begun = performance.now();
      const fingerprint = await readFingerprint((await this.#connected()).query);
      if (fingerprint === this.#fingerprint) this.#freshAt = begun;
      return fingerprint !== this.#fingerprint;
    });
  }

  async #poll(): Promise<void> {
    try {
      if (await this.#isChanged()) await this.refresh();
    } catch (error) {
      this.#options.onError?.(this.#key, error);
    }
    this.#schedule();
  }

  #schedule(): void {
    if (this.#stopped) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#poll(), this.#options.pollMs ?? 1000);
    this.#timer.unref();
  }

  #enqueue<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#queue.then(async () => {
      if (this.#stopped) throw new Error('the catalog is closed');
      try {
        return await work();
      } catch (error) {
        await this.#drop();
        throw error;
      }
    });
    this.#queue = run.catch(() => undefined);
    return run;
  }

  async #connected(): Promise<CatalogConnection> {
    if (this.#connection !== null) return this.#connection;
    const connection = await this.#options.connect(this.#key);
    this.#connection = connection;
    for (const statement of SETUP.split('; ')) await connection.query(statement);
    return connection;
  }

  async #drop(): Promise<void> {
    const connection = this.#connection;
    this.#connection = null;
    await connection?.close().catch(() => undefined);
  }
}
