/** What a case's connections were sent, in a form to compare and to search. */
import type { Message } from './connection.ts';

export interface Transcript {
  readonly messages: readonly Message[];
  readonly hangs: boolean;
  readonly tookMs: number;
}

const FIELD_BYTES = 18;

/** One line a message, without what differs from run to run: process ids, OIDs of the database's own objects, numbers of temporary schemas. */
export function linesOf(transcript: Transcript, without: readonly string[] = []): string[] {
  return transcript.messages
    .filter(({ type }) => type !== 'K')
    .map((message) => without.reduce((line, text) => line.split(text).join('?'), lineOf(message)));
}

function lineOf({ type, body }: Message): string {
  return `${type} ${textOf(type, body).replace(/pg_temp_\d+/g, 'pg_temp')}`;
}

function textOf(type: string, body: Buffer): string {
  if (type === 'A') return body.toString('latin1', 4);
  if (type === 'T') return fieldsOf(body).join('|');
  return body.toString('latin1');
}

/** Name, length, modifier and format of each column, and its type where it is built in. */
function fieldsOf(body: Buffer): string[] {
  const fields: string[] = [];
  for (let at = 2, left = body.readInt16BE(0); left > 0; left--) {
    const end = body.indexOf(0, at);
    const type = body.readUInt32BE(end + 7);
    fields.push(
      [body.toString('latin1', at, end), type < 16_384 ? type : 'own', body.toString('hex', end + 11, end + 1 + FIELD_BYTES)].join(' '),
    );
    at = end + 1 + FIELD_BYTES;
  }
  return fields;
}

/** Those of the secrets that are in any byte of any message. */
export function secretsIn(transcript: Transcript, texts: readonly string[], hex: readonly string[] = []): string[] {
  const all = Buffer.concat(transcript.messages.map(({ body }) => body));
  return [...texts.filter((text) => all.includes(text)), ...hex.filter((digits) => all.includes(Buffer.from(digits, 'hex')))];
}

/** The first message in which two differ, in words; null where they are the same. */
export function differenceOf(left: readonly string[], right: readonly string[]): string | null {
  const at = left.findIndex((line, index) => line !== right[index]);
  if (at < 0 && left.length === right.length) return null;
  const index = at < 0 ? left.length : at;
  return `message ${index + 1}: ${shown(left[index])} ≠ ${shown(right[index])}`;
}

function shown(line: string | undefined): string {
  if (line === undefined) return 'nothing';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: messages are full of them
  const plain = line.replace(/[\x00-\x1f\x7f]+/g, ' ');
  return plain.length > 200 ? `${plain.slice(0, 200)}…` : plain;
}

/** SQLSTATE and message of each error. */
export function errorsOf(transcript: Transcript): string[] {
  return transcript.messages
    .filter(({ type }) => type === 'E')
    .map(({ body }) => {
      const fields = new Map(
        body
          .toString('utf8')
          .split('\0')
          .map((field) => [field.charAt(0), field.slice(1)]),
      );
      return `${fields.get('C') ?? ''} ${fields.get('M') ?? ''}`;
    });
}
