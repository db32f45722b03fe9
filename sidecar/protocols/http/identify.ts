import type { Principal } from '#crds/policy/principal.ts';
import type { SnapshotResource } from '#crds/policy/snapshot.ts';
import type { Connection, DriverContext } from '../../pipeline.ts';

/** The client has to prove who it is, or prove it again on another connection. */
export class NotIdentified extends Error {}

const BEARER = /^Bearer +([A-Za-z0-9\-._~+/]+=*)$/i;

/**
 * The principals of a request: the workload first, then the token of `Proxy-Authorization: Bearer`, which is only taken over TLS or
 * loopback. Rejects with NotIdentified, which says nothing of why a token does not hold.
 */
export async function principalsOf(
  context: DriverContext,
  connection: Connection,
  resource: SnapshotResource | null,
  proxyAuthorization: string | null,
  encrypted: boolean,
): Promise<readonly Principal[]> {
  const workload = context.identity.workload(connection);
  if (proxyAuthorization === null || resource?.agentToken === 'Ignore') return [workload];
  if (!encrypted && !connection.loopback) throw new NotIdentified('a token is only taken over TLS or loopback');
  const token = BEARER.exec(proxyAuthorization)?.[1];
  if (token === undefined) throw new NotIdentified('invalid token');
  try {
    return [workload, await context.identity.token(token)];
  } catch {
    throw new NotIdentified('invalid token');
  }
}

/** One connection is one session and has one identity. */
export function samePrincipals(a: readonly Principal[], b: readonly Principal[]): boolean {
  const key = (principals: readonly Principal[]): string =>
    JSON.stringify(principals.map(({ kind, issuer, subject }) => [kind, issuer, subject]));
  return key(a) === key(b);
}
