import type { SnapshotResource } from '#crds/policy/snapshot.ts';
import type { StartTls } from '../listener/tls.ts';
import type { Driver, DriverContext } from '../pipeline.ts';
import { createHttpDriver } from '../protocols/http/driver.ts';
import { createPostgresDriver } from '../protocols/postgres/driver.ts';
import type { ByteBudget } from '../wire/postgres/budget.ts';

export type Drivers = { readonly [protocol in SnapshotResource['protocol']]: Driver };

export function createDrivers(context: DriverContext, tls: StartTls | null, budget: ByteBudget): Drivers {
  return { PostgreSQL: createPostgresDriver(context, { tls, budget }), HTTP: createHttpDriver(context, { tls }) };
}
