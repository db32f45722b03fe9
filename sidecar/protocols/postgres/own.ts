/** Statements of our own on the client's session, with names of our own so that the client's unnamed statement stays. */
import { encodeBind } from '../../wire/postgres/messages/bind.ts';
import { encodeClose } from '../../wire/postgres/messages/describe_close.ts';
import { encodeFlush, encodeSync } from '../../wire/postgres/messages/empty.ts';
import { encodeExecute } from '../../wire/postgres/messages/execute.ts';
import { encodeParse } from '../../wire/postgres/messages/parse.ts';
import type { OwnQuery } from './expect.ts';
import { OWN_PREFIX, type PgSession } from './session.ts';

const NAME = `${OWN_PREFIX}state`;

/** A segment of its own. Null on error. */
export function askOwn(session: PgSession, sql: string): Promise<(string | null)[][] | null> {
  return ask(session, sql, null);
}

/** Inside of the client's segment, which an error of ours ends as one of the client's would. Null on error. */
export function askInSegment(session: PgSession, sql: string): Promise<(string | null)[][] | null> {
  return ask(session, sql, 2);
}

function ask(session: PgSession, sql: string, closesLeft: number | null): Promise<(string | null)[][] | null> {
  return new Promise((resolve) => {
    const rows: (string | null)[][] = [];
    session.toServer.add(encodeParse({ statement: NAME, text: sql, parameterTypes: [] }));
    session.toServer.add(encodeBind({ portal: NAME, statement: NAME, parameterFormats: [], parameters: [], resultFormats: [] }));
    session.toServer.add(encodeExecute(NAME));
    session.toServer.add(encodeClose({ kind: 'portal', name: NAME }));
    session.toServer.add(encodeClose({ kind: 'statement', name: NAME }));
    session.toServer.add(closesLeft === null ? encodeSync() : encodeFlush());
    const own: OwnQuery = { rows, closesLeft, failed: false, done: (ok: boolean) => resolve(ok ? rows : null) };
    session.queue.push({ type: 'own', segment: session.segment, own });
    if (closesLeft === null) session.nextSegment();
    else session.segmentSent = true;
    session.toServer.flush();
    if (session.ended) resolve(null);
  });
}
