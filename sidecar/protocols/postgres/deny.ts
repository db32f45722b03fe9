/** Denials, in the place and with the effect that an error of the server's would have. */
import { maskError } from '../../mask/postgres/errors.ts';
import type { Recorded } from '../../permit.ts';
import { encodeClose } from '../../wire/postgres/messages/describe_close.ts';
import { encodeSync } from '../../wire/postgres/messages/empty.ts';
import { type ErrorFields, encodeErrorResponse } from '../../wire/postgres/messages/error_notice.ts';
import { encodeParse } from '../../wire/postgres/messages/parse.ts';
import { encodeQuery } from '../../wire/postgres/messages/query.ts';
import { encodeReadyForQuery } from '../../wire/postgres/messages/ready_for_query.ts';
import type { OwnQuery } from './expect.ts';
import { OWN_PREFIX, type PgSession } from './session.ts';

/** A statement that no server accepts: it puts the server's own state where an error would have put it. */
const POISON = '/* denied by policy */ CHAPERONE DENIED';
/** What the server is only asked to parse. */
export const ASKED = `${OWN_PREFIX}asked`;

/** How the client is told what the server itself would have told. */
export interface ServersWords {
  /** The Parse of the statement, permitted as such; where the server refuses it, the client gets its error. */
  readonly ask?: Recorded;
  /** The place in the server's source, which an error shows, is that of an error of the server's own. */
  readonly placedByServer?: boolean;
}

/** Denies a simple Query. Where the server has state that an error would change, it is made to reject something itself. */
export function denySimple(session: PgSession, fields: ErrorFields, words: ServersWords = {}): void {
  const { ask, placedByServer = false } = words;
  if (ask !== undefined) {
    denyExtended(session, fields, words);
    session.toServer.add(encodeSync());
    session.queue.push({ type: 'sync', segment: session.segment });
    session.skipping = 'no';
    session.nextSegment();
    return;
  }
  if (isUntouched(session) && !placedByServer) {
    session.toClient.add(encodeErrorResponse(fields));
    session.toClient.add(encodeReadyForQuery('I'));
    return;
  }
  session.toServer.add(encodeQuery(POISON));
  session.queue.push({ type: 'poison', segment: session.segment, fields, placedByServer, simple: true });
  session.nextSegment();
}

/** Denies a message of the extended protocol; what follows up to the Sync is skipped, as the server would. */
export function denyExtended(session: PgSession, fields: ErrorFields, { ask, placedByServer = false }: ServersWords = {}): void {
  if (ask !== undefined) askToParse(session, ask);
  else if (isUntouched(session) && !placedByServer) {
    session.toClient.add(encodeErrorResponse(fields));
    session.skipping = 'local';
    return;
  }
  session.toServer.add(encodeParse({ statement: `${OWN_PREFIX}denied`, text: POISON, parameterTypes: [] }));
  session.queue.push({ type: 'poison', segment: session.segment, fields, placedByServer, simple: false });
  session.segmentSent = true;
  session.skipping = 'server';
}

/** Under a name of ours that is closed again. An error of it is the client's, without what might hold a value; else the denial follows. */
function askToParse(session: PgSession, parse: Recorded): void {
  session.sendPermitted(parse);
  session.toServer.add(encodeClose({ kind: 'statement', name: ASKED }));
  const done = (): void => {
    if (!own.failed || session.ownError === null) return;
    session.toClient.add(encodeErrorResponse(maskError(session.ownError, { touchesMasked: true, detectors: session.detectors })));
  };
  const own: OwnQuery = { rows: [], closesLeft: 1, failed: false, done };
  session.queue.push({ type: 'own', segment: session.segment, own });
}

/** The server has no state that an error would change. */
function isUntouched({ queue, tx, segmentSent }: PgSession): boolean {
  return queue.empty && tx === 'I' && !segmentSent;
}
