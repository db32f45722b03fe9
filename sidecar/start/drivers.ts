import type { SnapshotResource } from '#crds/policy/snapshot.ts';
import type { StartTls } from '../listener/tls.ts';
import type { Driver, DriverContext } from '../pipeline.ts';
import { createHttpDriver } from '../protocols/http/driver.ts';
import { createPostgresDriver } from '../protocols/postgres/driver.ts';

export type Drivers = { readonly [protocol in SnapshotResource['protocol']]: Driver };

export function createDrivers(context: DriverContext, tls: StartTls | null): Drivers {
  return { PostgreSQL: createPostgresDriver(context, { tls }), HTTP: createHttpDriver(context, { tls }) };
}
