import type { Recorded } from '../permit.ts';
import type { ByteStream } from '../transport/stream.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

export type UpstreamTls =
  | { readonly mode: 'Disable' }
  | {
      readonly mode: 'VerifyFull';
      /** Name to verify and to send as SNI; the address's host where absent. */
      readonly serverName?: string | undefined;
      /** PEM bundle; the system's roots where absent. */
      readonly ca?: string | Buffer | undefined;
    };

export interface DialOptions {
  /** The proof that the verdict is on disk. */
  readonly recorded: Recorded;
  readonly address: Address;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export type Dial = (options: DialOptions) => Promise<ByteStream>;
