import type { IdentityVerifier } from '../pipeline.ts';
import type { TokenIssuer } from './issuers.ts';
import { createTokenVerifier } from './token.ts';
import { listenerPrincipal } from './workload.ts';

export interface IdentityOptions {
  readonly issuers: readonly TokenIssuer[];
  readonly now: () => number;
}

export function createIdentityVerifier(options: IdentityOptions): IdentityVerifier {
  return {
    workload: (connection) => listenerPrincipal(connection.workload),
    token: createTokenVerifier(options.issuers, options.now),
  };
}
