import type { ResourcePolicy } from '#crds/policy/engine.ts';
import type { Principal } from '#crds/policy/principal.ts';
import type { SnapshotResource } from '#crds/policy/snapshot.ts';
import type { Assurance } from '#crds/record/event.ts';
import { decide, denialOf } from '../../decide/decide.ts';
import type { Denial, Permit } from '../../permit.ts';
import type { Connection, DriverContext } from '../../pipeline.ts';
import { encodeAuthenticationCleartextPassword } from '../../wire/postgres/messages/authentication.ts';
import { decodePassword } from '../../wire/postgres/messages/password.ts';
import type { StartupRequest } from '../../wire/postgres/messages/startup_parameters.ts';
import type { Handshake } from './handshake.ts';

/** Three base64url parts: what can only be meant as a JWT. Any other password is the agent's old one, and ignored. */
const JWT = /^[\w-]+\.[\w-]+\.[\w-]+$/;

/**
 * The session's principals: the workload first, then the token that came as the password. A token is only asked for where
 * some issuer is known, and over TLS or loopback. Rejects with IdentityError where a token does not hold. Null where the client closed.
 */
export async function principalsOf(
  context: DriverContext,
  connection: Connection,
  resource: SnapshotResource | null,
  handshake: Handshake,
): Promise<readonly Principal[] | null> {
  const workload = context.identity.workload(connection);
  if (!context.identity.takesTokens || resource?.agentToken === 'Ignore' || !(handshake.encrypted || connection.loopback))
    return [workload];
  handshake.stream.write(encodeAuthenticationCleartextPassword());
  handshake.reader.enter('login');
  const frame = await handshake.next();
  if (frame === null) return null;
  const password = decodePassword(frame.buffer, frame.start, frame.end);
  return JWT.test(password) ? [workload, await context.identity.token(password)] : [workload];
}

export type Admitted =
  | { readonly type: 'admitted'; readonly permit: Permit; readonly resource: SnapshotResource; readonly credential: Credential }
  | { readonly type: 'refused'; readonly denial: Denial; readonly sqlstate: string };

export interface Credential {
  /** The requested user that it is for. */
  readonly name: string;
  readonly secret: string;
  readonly usernameKey: string;
  readonly passwordKey: string;
}

/** Whether this connection may be opened at all: a policy for its principals, the resource's database, a mapped user. */
export function admit(
  context: DriverContext,
  connection: Connection,
  policy: ResourcePolicy | null,
  principals: readonly Principal[],
  asked: StartupRequest,
): Admitted {
  const action = { type: 'connect', database: asked.database, user: asked.user } as const;
  const why = () => context.policy.why(connection.resource);
  const outcome = decide(policy, why, { principals, action, nowMs: context.now() }, Buffer.alloc(0));
  if (outcome.type === 'denial') return { type: 'refused', denial: outcome.denial, sqlstate: '28000' };
  if (outcome.type === 'hold' || policy === null) {
    return { type: 'refused', denial: denialOf('connect', 'NotSupported', 'a connection can not be held for approval'), sqlstate: '28000' };
  }
  const { resource } = policy;
  const postgresql = resource.postgresql;
  if (resource.protocol !== 'PostgreSQL' || postgresql === undefined) {
    return { type: 'refused', denial: denialOf('protocol', 'NotSupported', 'the resource does not speak PostgreSQL'), sqlstate: '08004' };
  }
  if (asked.database !== postgresql.database) {
    const denial = denialOf('database', 'NoRuleMatches', `ProtectedResource ${resource.namespace}/${resource.name} has another database`);
    return { type: 'refused', denial, sqlstate: '3D000' };
  }
  const user = postgresql.users.find((candidate) => candidate.name === asked.user);
  if (user === undefined) {
    const text = `ProtectedResource ${resource.namespace}/${resource.name} maps no credential to the requested user`;
    return { type: 'refused', denial: denialOf('user', 'NoRuleMatches', text), sqlstate: '28000' };
  }
  return { type: 'admitted', permit: outcome.permit, resource, credential: user };
}

/** The session's assurance is its lowest: columns are rewritten at the source (B); where there are only detectors, it is the sink (C). */
export function assuranceOf(resource: SnapshotResource): Assurance {
  if (resource.masking.some((rule) => rule.columns.length > 0)) return 'B';
  return resource.masking.length > 0 ? 'C' : 'None';
}
