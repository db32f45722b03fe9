import type { IdentityVerifier } from '../pipeline.ts';
import type { TokenIssuer } from './issuers.ts';
import { createTokenVerifier } from './token.ts';
import { certifiedPrincipal, listenerPrincipal } from './workload.ts';

export interface IdentityOptions {
  readonly issuers: readonly TokenIssuer[];
  readonly now: () => number;
  /** How the workload was proved; `listener` where absent. */
  readonly workloadProof?: 'listener' | 'certificate';
}

export function createIdentityVerifier(options: IdentityOptions): IdentityVerifier {
  const principal = options.workloadProof === 'certificate' ? certifiedPrincipal : listenerPrincipal;
  return {
    workload: (connection) => principal(connection.workload),
    takesTokens: options.issuers.length > 0,
    token: createTokenVerifier(options.issuers, options.now),
  };
}
