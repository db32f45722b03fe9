import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';

let system: SecureContext | null = null;

/**
 * TLS 1.2 and later, trusting the machine's own roots; those that come with Node where the machine has none. Made once, at the
 * first use: reading hundreds of certificates takes a tenth of a second.
 */
export function systemRoots(): SecureContext {
  system ??= createSecureContext({ minVersion: 'TLSv1.2', ...withRoots(getCACertificates('system')) });
  return system;
}

function withRoots(ca: string[]): { ca?: string[] } {
  return ca.length > 0 ? { ca } : {};
}
