import type { DialOptions, UpstreamTls } from '../dial.ts';

export interface PostgresCancel extends DialOptions {
  readonly tls: UpstreamTls;
  readonly key: { readonly pid: number; readonly secret: Buffer };
}

/** Sends a CancelRequest over a connection of its own, with TLS where the target has it. Resolves when the server closed it. */
export async function cancelPostgres(_cancel: PostgresCancel): Promise<void> {
  throw new Error('not yet');
}
