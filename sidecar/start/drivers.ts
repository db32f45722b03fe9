import type { SnapshotResource } from '#crds/policy/snapshot.ts';
import type { StartTls } from '../listener/tls.ts';
import type { Driver, DriverContext } from '../pipeline.ts';
import { createPostgresDriver } from '../protocols/postgres/driver.ts';

export type Drivers = { readonly [protocol in SnapshotResource['protocol']]: Driver };

export function createDrivers(context: DriverContext, tls: StartTls | null): Drivers {
  return { PostgreSQL: createPostgresDriver(context, { tls }), HTTP: refusingDriver('HTTP') };
}

/** For a protocol that this build can't speak: every connection is closed unread. */
function refusingDriver(protocol: Driver['protocol']): Driver {
  return { protocol, serve: async ({ stream }) => void stream.destroy(), drain: async () => {} };
}
