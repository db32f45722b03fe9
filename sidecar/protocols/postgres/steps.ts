import type { Frame } from '../../wire/postgres/frame.ts';
import { CANCELED, DENIED } from './reply.ts';
import type { Run } from './run.ts';
import type { PgSession } from './session.ts';

/** Steps that the simple and the extended protocol share. */

export function copyOf(frame: Frame): Buffer {
  return frame.buffer.subarray(frame.start, frame.end);
}

/** The client's COPY data is looked at only when the server asks for it, or has refused the COPY. */
export async function copyBarrier(session: PgSession, run: Run): Promise<void> {
  session.toServer.flush();
  await run.progress();
  if (run.copy === 'in' && !session.ended) session.copyRun = run;
}

/** What a statement may change in how names are read counts from when it is sent, not from when it succeeded. */
export function noteState(session: PgSession, run: Run): void {
  const { effects } = run.analysis;
  if (effects.state || effects.ddl) session.stateTouched = true;
  if (effects.ddl) session.ddlOpen = true;
  // What a transaction did to role and search_path is undone with it.
  if (effects.state || effects.ddl || (effects.endsTransaction && session.stateTouched)) session.stateDirty = true;
}

export function sqlstateOf(code: string): string {
  return code === 'ApprovalWithdrawn' ? CANCELED : DENIED;
}
