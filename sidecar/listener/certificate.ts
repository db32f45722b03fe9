import type { ServerCertificate } from './tls.ts';

export interface GeneratedCertificate extends ServerCertificate {
  /** PEM of the CA that clients trust: sslrootcert. */
  readonly ca: string;
  readonly caFile: string;
}

/** From files that somebody else looks after. Throws ListenError. */
export async function readCertificate(_certificateFile: string, _keyFile: string): Promise<ServerCertificate> {
  throw new Error('not yet');
}

/**
 * The CA and leaf of `directory` (STATE/tls; keys 0600), made where they are missing, renewed where the leaf is about to end
 * or lacks a name. `names` are DNS names and IP addresses; localhost, 127.0.0.1 and ::1 are always in.
 */
export async function ownCertificate(_directory: string, _names: readonly string[], _now: Date): Promise<GeneratedCertificate> {
  throw new Error('not yet');
}
