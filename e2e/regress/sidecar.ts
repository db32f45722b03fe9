/** A sidecar that allows all, before a server whose superuser the agent is: whatever fails there is refused by us. */
import { type CorpusSidecar, databaseManifests, startCorpusSidecar } from '../corpora/sidecar.ts';
import type { Postgres } from '../postgres/server.ts';

export const DATABASE = 'regression';

export function startAllowAll({ port, superuser }: Postgres): Promise<CorpusSidecar> {
  return startCorpusSidecar(databaseManifests({ port, database: DATABASE, accounts: [superuser] }));
}
