import { isIP } from 'node:net';
import type { SnapshotAddress, SnapshotResource } from '#crds/policy/snapshot.ts';
import type { DriverContext } from '../../pipeline.ts';
import type { Address, UpstreamTls } from '../../upstream/dial.ts';
import type { Header } from '../../wire/http/headers.ts';

/** Where a request goes, and with what. */
export interface HttpTarget {
  readonly address: Address;
  readonly tls: UpstreamTls;
  /** The service's credential as a header; null where the resource has none. */
  readonly credential: { readonly header: string; readonly value: string; readonly secret: string } | null;
}

/** A secret shorter than this would be found by chance in what comes back. */
export const MIN_SCRUBBED = 8;

/** Throws CredentialError, or TypeError for a credential that can't stand in a header. */
export function httpTarget(context: DriverContext, resource: SnapshotResource): HttpTarget {
  const { tls, address, http } = resource;
  const get = (secret: string, key: string): Buffer => context.credentials.get(resource.namespace, secret, key);
  const ca = tls.caSecret === undefined ? undefined : get(tls.caSecret.name, tls.caSecret.key);
  const credential = http?.credential;
  return {
    address: { ...address, names: context.names?.(resource.namespace) },
    tls: tls.mode === 'Disable' ? { mode: 'Disable' } : { mode: 'VerifyFull', serverName: tls.serverName, ca },
    credential: credential === undefined ? null : credentialHeader(credential, get(credential.secret.name, credential.secret.key)),
  };
}

function credentialHeader(credential: { readonly header: string; readonly prefix: string }, bytes: Buffer): HttpTarget['credential'] {
  const secret = bytes.toString('latin1').replace(/\r?\n$/, '');
  if (secret === '' || /[^\x20-\x7e]/.test(secret)) throw new TypeError('the credential can not stand in a header');
  return { header: credential.header, value: `${credential.prefix}${secret}`, secret };
}

/**
 * The resource's own address that a Host header means, or null: another virtual host of the same server is another target. A loopback name
 * or address is how an agent dials the sidecar beside it.
 */
export function addressOf(resource: SnapshotResource, host: string): SnapshotAddress | null {
  const named = [resource.address, ...resource.aliases].find((address) => address.host.toLowerCase() === host);
  if (named !== undefined) return named;
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.')) ? resource.address : null;
}

/** The Host header for an address; without the scheme's own port. */
export function hostHeader({ host, port }: SnapshotAddress, tls: UpstreamTls['mode']): Header {
  const name = isIP(host) === 6 ? `[${host}]` : host;
  return ['Host', port === (tls === 'Disable' ? 80 : 443) ? name : `${name}:${port}`];
}
