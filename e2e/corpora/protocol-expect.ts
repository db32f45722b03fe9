/**
 * What a case's `proxyMust` says, as checks. It is prose: words of it stand for kinds of expectation, and all kinds that are found must hold.
 * A text of no kind means: as the server does, or refused.
 */
import { errorField, type Message } from './protocol-client.ts';

export interface Seen {
  readonly messages: readonly Message[];
  readonly closed: boolean;
  /** What reached the server meanwhile. */
  readonly forwarded: Buffer;
}

export interface Exchange {
  readonly sent: Buffer;
  readonly ours: Seen;
  /** The same bytes without us; null where they can't be sent so. */
  readonly direct: Seen | null;
}

interface Kind {
  readonly when: RegExp;
  /** What is wrong, or null. */
  readonly check: (exchange: Exchange) => string | null;
}

const isError = ({ type, body }: Message): boolean => type === 'E' && body.length > 0;

const fatal: Kind = {
  when: /\bFATAL\b/i,
  check: ({ ours }) => {
    const fatally = ours.messages.some((message) => isError(message) && errorField(message, 'V') === 'FATAL');
    return fatally && ours.closed ? null : 'no FATAL with an end of the connection';
  },
};

const closes: Kind = {
  when: /(?<!not |never |n't )\bclose\b(?! of\b)|\bkills\b|end the session|close both sides/,
  check: ({ ours }) => (ours.closed ? null : 'the connection is not closed'),
};

const refuses: Kind = {
  when: /\b(reject|refuse|deny)(s|ed|ing)?\b/i,
  check: (exchange) => (isRefused(exchange.ours) || sameAsServer(exchange) === null ? null : 'not refused'),
};

const answersOnce: Kind = {
  when: /never answer twice/i,
  check: ({ ours }) => (ours.messages.filter(({ body }) => body.length === 0).length > 1 ? 'answered twice' : null),
};

const answersNo: Kind = {
  when: /answers? (with )?['"]?N\b/,
  check: ({ ours }) => (ours.messages[0]?.type === 'N' || ours.closed ? null : 'not answered N'),
};

const neverForwards: Kind = {
  when: /never forward/i,
  check: ({ sent, ours }) => {
    const last = lastFrame(sent);
    return last !== null && ours.forwarded.includes(last) ? 'its last message reached the server' : null;
  },
};

const asServer: Kind = {
  when: /\b(ignored?|skip(s|ped)?|discard(s|ed)?|swallow(s|ed)?)\b|as PG|as PostgreSQL|in message order|number of Z/i,
  check: (exchange) => (isRefusedAtOnce(exchange.ours) ? null : sameAsServer(exchange)),
};

const KINDS: readonly Kind[] = [fatal, closes, refuses, answersOnce, answersNo, neverForwards, asServer];
const OTHERWISE: Kind = { when: /^/, check: (exchange) => (isRefused(exchange.ours) ? null : sameAsServer(exchange)) };

export function kindsOf(proxyMust: string): readonly Kind[] {
  const found = KINDS.filter(({ when }) => when.test(proxyMust));
  if (found.length === 0) return [OTHERWISE];
  // "Reject or ignore exactly as the server": either will do, and that is what `refuses` checks.
  return found.includes(refuses) || found.includes(closes) ? found.filter((kind) => kind !== asServer) : found;
}

function isRefused({ messages, closed }: Seen): boolean {
  return closed || messages.some(isError);
}

/** Ended before anything of it was answered: stricter than the server, and no byte of it is in doubt. */
function isRefusedAtOnce({ messages, closed }: Seen): boolean {
  return closed && messages.every(isError);
}

/** The same messages in the same order, the same SQLSTATEs, and open where the server leaves it open. */
function sameAsServer({ ours, direct }: Exchange): string | null {
  if (direct === null) return null;
  const [left, right] = [outlineOf(ours), outlineOf(direct)];
  return left === right ? null : `answered ${left} instead of ${right}`;
}

function outlineOf({ messages, closed }: Seen): string {
  const told = messages
    .filter(({ type, body }) => body.length === 0 || !'SNA'.includes(type))
    .map((message) => {
      if (isError(message)) return `E(${errorField(message, 'C')})`;
      return message.type === 'Z' ? `Z(${message.body.toString('latin1')})` : message.type;
    });
  return `${told.join(' ')} ${closed ? 'closed' : 'open'}`;
}

/** The last of a client's messages, where they are whole. */
function lastFrame(sent: Buffer): Buffer | null {
  let at = 0;
  let last: Buffer | null = null;
  while (sent.length - at >= 5) {
    const end = at + 1 + sent.readUInt32BE(at + 1);
    if (end > sent.length || end <= at) return null;
    last = sent.subarray(at, end);
    at = end;
  }
  return last;
}
