import { join } from 'node:path';
import { ownCertificate, readCertificate } from '../listener/certificate.ts';
import { type StartTls, startTlsWith } from '../listener/tls.ts';
import { isLoopback, type ListenAddress } from './address.ts';

export interface TlsOptions {
  readonly state: string;
  readonly given: { readonly certificateFile: string; readonly keyFile: string } | undefined;
  readonly listen: ReadonlyMap<string, ListenAddress>;
  readonly now: () => number;
}

/** The agents' leg: a certificate that was given, or one of an own CA whose certificate agents can trust. Rejects with ListenError. */
export async function openTls(options: TlsOptions): Promise<{ readonly startTls: StartTls; readonly caFile: string | null }> {
  if (options.given !== undefined) {
    return { startTls: startTlsWith(await readCertificate(options.given.certificateFile, options.given.keyFile)), caFile: null };
  }
  const names = [...options.listen.values()].map(({ host }) => host).filter((host) => !isLoopback(host) && !ANY.includes(host));
  const own = await ownCertificate(join(options.state, 'tls'), [...new Set(names)], new Date(options.now()));
  return { startTls: startTlsWith(own), caFile: own.caFile };
}

const ANY = ['0.0.0.0', '::'];
