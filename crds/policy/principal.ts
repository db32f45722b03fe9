import type { JsonValue } from './json.ts';

/** How a principal was proved. `listener`: standalone, the listener stands for the workload; nothing was proved by the caller. */
export type Proof = 'listener' | 'token' | 'certificate';

/** One identity that a session carries. A session has a list of them: the workload first, then the token that the agent presented. */
export interface Principal {
  readonly kind: 'ServiceAccount' | 'User';
  /** Issuer URL of the token; `cluster` for a service account; `standalone` for a listener's workload. */
  readonly issuer: string;
  /** `namespace/name` for a service account, the `sub` claim for a user. */
  readonly subject: string;
  readonly groups: readonly string[];
  /** Claims of the verified token; empty for a workload. */
  readonly claims: { readonly [claim: string]: JsonValue };
  readonly proof: Proof;
  /** RFC 8693 `act`: who the principal acts for, where the token says so. */
  readonly onBehalfOf?: string;
  /** RFC 8693 `act.sub`: who uses the token in the subject's name, where the token says so. */
  readonly actor?: string;
}
