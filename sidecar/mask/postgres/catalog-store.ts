/** One catalog per resource, database and user, loaded by a session of its own and kept fresh while sessions are open. */
import type { Catalog, CatalogConnection, CatalogKey } from './catalog.ts';

export interface CatalogStoreOptions {
  connect(key: CatalogKey): Promise<CatalogConnection>;
  /** Between two looks for changes, while a lease is open. */
  readonly pollMs?: number;
  onError?(key: CatalogKey, error: unknown): void;
}

export interface CatalogLease {
  /** Resolves when the first snapshot is there; rejects where it can't be had. */
  ready(): Promise<void>;
  /** The latest snapshot; null before the first, and while one that is known to be stale can't be replaced. */
  current(): Catalog | null;
  /** DDL was seen. Resolves with a snapshot that was begun after the call. `current()` is null until then. */
  invalidate(): Promise<void>;
  release(): void;
}

export class CatalogStore {
  constructor(_options: CatalogStoreOptions) {
    throw new Error('in the making');
  }

  /** Shares the catalog of the key with the other leases of it. */
  lease(_key: CatalogKey): CatalogLease {
    throw new Error('in the making');
  }

  async close(): Promise<void> {}
}
