import type { SnapshotResource } from '#crds/policy/snapshot.ts';
import type { DriverContext } from '../../pipeline.ts';
import type { Address, UpstreamTls } from '../../upstream/dial.ts';

export interface Target {
  readonly address: Address;
  readonly tls: UpstreamTls;
  readonly user: string;
  readonly password: Buffer;
  readonly database: string;
}

/** Where a resource is, and with what to log in there. Throws CredentialError. With no credential, `user` and `password` are empty. */
export function upstreamTarget(
  context: Pick<DriverContext, 'credentials' | 'names'>,
  resource: SnapshotResource,
  credential: { readonly secret: string; readonly usernameKey: string; readonly passwordKey: string } | null,
): Target {
  const get = (secret: string, key: string) => context.credentials.get(resource.namespace, secret, key);
  const { tls } = resource;
  const ca = tls.caSecret === undefined ? undefined : get(tls.caSecret.name, tls.caSecret.key);
  return {
    address: { ...resource.address, names: context.names?.(resource.namespace) },
    tls: tls.mode === 'Disable' ? { mode: 'Disable' } : { mode: 'VerifyFull', serverName: tls.serverName, ca },
    user: credential === null ? '' : get(credential.secret, credential.usernameKey).toString('utf8'),
    password: credential === null ? Buffer.alloc(0) : get(credential.secret, credential.passwordKey),
    database: resource.postgresql?.database ?? '',
  };
}
