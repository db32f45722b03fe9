import type { SnapshotResource } from '#crds/policy/snapshot.ts';
import type { CatalogConnection, CatalogKey } from '../../mask/postgres/catalog.ts';
import type { Recorded } from '../../permit.ts';
import type { DriverContext } from '../../pipeline.ts';
import { postgresClient } from '../../upstream/postgres/client.ts';
import { connectPostgres } from '../../upstream/postgres/login.ts';
import { upstreamTarget } from './target.ts';

type Credential = Parameters<typeof upstreamTarget>[2];

/** Bytes of one answer about the catalog. */
const MAX_CATALOG_BYTES = 256 * 1024 * 1024;

/** Sessions of our own that read the catalog, with the credential and under the permit of an agent's session that needs it. */
export class CatalogSource {
  readonly #context: DriverContext;
  readonly #timeoutMs: number;
  readonly #known = new Map<
    string,
    { readonly resource: SnapshotResource; readonly credential: Credential; readonly recorded: Recorded }
  >();

  constructor(context: DriverContext, timeoutMs: number) {
    this.#context = context;
    this.#timeoutMs = timeoutMs;
  }

  keyOf(resource: SnapshotResource, database: string, user: string): CatalogKey {
    return { resource: `${resource.namespace}/${resource.name}@${resource.generation}`, database, user };
  }

  remember(resource: SnapshotResource, credential: Credential & { readonly name: string }, recorded: Recorded): void {
    const database = resource.postgresql?.database ?? '';
    this.#known.set(textOf(this.keyOf(resource, database, credential.name)), { resource, credential, recorded });
  }

  async connect(key: CatalogKey): Promise<CatalogConnection> {
    const known = this.#known.get(textOf(key));
    if (known === undefined) throw new Error('no session asked for this catalog');
    const parameters = new Map([
      ['application_name', 'chaperone catalog'],
      ['search_path', 'pg_catalog'],
    ]);
    const target = upstreamTarget(this.#context, known.resource, known.credential);
    const connection = await connectPostgres({
      ...target,
      recorded: known.recorded,
      parameters,
      protocol: '3.0',
      timeoutMs: this.#timeoutMs,
    });
    const client = postgresClient(connection, { timeoutMs: 30_000, maxBytes: MAX_CATALOG_BYTES });
    return {
      query: async (sql) => (await client.query(sql)).rows,
      close: async () => client.close(),
    };
  }
}

function textOf(key: CatalogKey): string {
  return JSON.stringify([key.resource, key.database, key.user]);
}
