/** One look at a target as a sidecar would have it: the same login, the same catalog, the same question by which ways its role gets at columns. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MaskPolicy } from '#crds/policy/mask.ts';
import type { SnapshotResource } from '#crds/policy/snapshot.ts';
import { permitDoctor } from '../decide/decide.ts';
import { assuranceOf, type DatabaseAssurance } from '../mask/postgres/assurance.ts';
import type { Catalog, Query } from '../mask/postgres/catalog.ts';
import { loadCatalog } from '../mask/postgres/catalog-load.ts';
import { SETUP } from '../mask/postgres/catalog-queries.ts';
import type { CredentialStore, Log } from '../pipeline.ts';
import { upstreamTarget } from '../protocols/postgres/target.ts';
import { openRecordings } from '../record/store.ts';
import { postgresClient } from '../upstream/postgres/client.ts';
import { connectPostgres } from '../upstream/postgres/login.ts';

const TIMEOUT_MS = 30_000;
const MAX_BYTES = 256 * 1024 * 1024;

export interface Inspected {
  readonly catalog: Catalog;
  readonly assurance: DatabaseAssurance;
  readonly serverVersion: string;
  /** In the session that read the catalog. */
  readonly query: Query;
}

export interface InspectOptions {
  readonly resource: SnapshotResource;
  /** The requested user. */
  readonly user: NonNullable<SnapshotResource['postgresql']>['users'][number];
  readonly credentials: CredentialStore;
  readonly mask: MaskPolicy;
  readonly log: Log;
  readonly now: () => number;
}

/** Rejects with CredentialError, UpstreamError or what the catalog's reader says. */
export async function inspectTarget<T>(options: InspectOptions, look: (found: Inspected) => Promise<T>): Promise<T> {
  const { resource, user, credentials, mask, log, now } = options;
  const target = upstreamTarget({ credentials }, resource, user);
  // Nothing is dialled without a record of it. This one is no agent's, and goes with the folder.
  const dir = await mkdtemp(join(tmpdir(), 'chaperone-doctor-'));
  const recordings = await openRecordings({ dir, clock: now, log });
  try {
    const recorder = await recordings.open(startOf(resource, user.name), randomUUID());
    const recorded = recorder.permit(permitDoctor(target.database, user.name), {
      type: 'connect',
      database: target.database,
      user: user.name,
    });
    const parameters = new Map([
      ['application_name', 'chaperone doctor'],
      ['search_path', 'pg_catalog'],
    ]);
    const connection = await connectPostgres({ ...target, recorded, parameters, protocol: '3.0', timeoutMs: TIMEOUT_MS });
    const client = postgresClient(connection, { timeoutMs: TIMEOUT_MS, maxBytes: MAX_BYTES });
    try {
      const query: Query = async (sql) => (await client.query(sql)).rows;
      for (const statement of SETUP.split('; ')) await query(statement);
      const { catalog } = await loadCatalog(query);
      return await look({ catalog, assurance: assuranceOf(catalog, mask), serverVersion: connection.serverVersion, query });
    } finally {
      client.close();
      await recorder.end('client');
    }
  } finally {
    await recordings.close();
    await rm(dir, { recursive: true, force: true });
  }
}

function startOf({ namespace, name }: SnapshotResource, requestedUser: string) {
  return {
    protocol: 'PostgreSQL',
    resource: { namespace, name },
    workload: { namespace, serviceAccount: 'doctor' },
    principals: [],
    requestedUser,
    snapshot: 'none',
    assurance: 'None',
  } as const;
}
