import { encodeCancelRequest } from '../../wire/postgres/messages/startup.ts';
import type { DialOptions, UpstreamTls } from '../dial.ts';
import { UpstreamError } from '../errors.ts';
import { openPostgres } from './open.ts';

export interface PostgresCancel extends DialOptions {
  readonly tls: UpstreamTls;
  readonly key: { readonly pid: number; readonly secret: Buffer };
}

/**
 * Sends a CancelRequest over a connection of its own, with TLS where the target has it. Resolves when the server closed it: it
 * has then signalled its backend (or found no such one; it never says). Rejects with UpstreamError.
 */
export async function cancelPostgres(cancel: PostgresCancel): Promise<void> {
  const { stream } = await openPostgres(cancel);
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new UpstreamError('timeout', 'the target did not take the cancel request in time'));
      stream.destroy();
    }, cancel.timeoutMs);
    const done = (): void => {
      clearTimeout(timer);
      stream.destroy();
      resolve();
    };
    stream.start({ data: () => {}, drained: () => {}, ended: done, closed: done });
    stream.write(encodeCancelRequest(cancel.key.pid, cancel.key.secret));
  });
}
