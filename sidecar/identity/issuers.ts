/** Who may say who somebody is. From the operator's configuration; standalone, the local issuer and those of `--issuers FILE`. */
export interface TokenIssuer {
  /** The `iss` claim, exactly. */
  readonly issuer: string;
  readonly audience: string;
  readonly keys: { readonly type: 'jwks'; readonly jwks: Jwks } | { readonly type: 'url'; readonly url: string };
  /** Only these are accepted, and only signatures by a private key may be listed: see ALGORITHMS. */
  readonly algorithms: readonly Algorithm[];
  /** Claim with the list of groups. */
  readonly groupsClaim: string;
  readonly clockToleranceSeconds: number;
}

export interface Jwks {
  readonly keys: readonly { readonly [member: string]: unknown }[];
}

/** No `none` and no HMAC: a public key must never be taken for a shared secret. */
export const ALGORITHMS = ['EdDSA', 'Ed25519', 'ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512', 'RS256', 'RS384', 'RS512'] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

export const LOCAL_ISSUER = 'chaperone-local';
export const AUDIENCE = 'chaperone';
