/**
 * What the server says of a text that its grammar refuses. The parser is the server's own, so its words are; SQLSTATE, detail and hint it does not
 * hand out, and they stand here.
 */
import type { ErrorFields } from '../messages/error_notice.ts';

export interface SyntaxError {
  readonly message: string;
  /** In characters, from 1; null where the grammar names no place. */
  readonly position: number | null;
  /** In PostgreSQL's source, where the message was made. */
  readonly place: { readonly file: string; readonly line: string; readonly routine: string };
}

/** syntax_error: of all but those below. */
const SYNTAX_ERROR = '42601';

/** By the beginning of a message, of those that a grammar's action makes. */
const SQLSTATE_OF: readonly (readonly [string, string])[] = [
  ['frame ', '42P20'],
  ['column number must be in range', '22023'],
  ['precision for type float', '22023'],
  ['unrecognized partitioning strategy', '22023'],
  ['a column list with SET ', '0A000'],
  ['CREATE SCHEMA IF NOT EXISTS cannot', '0A000'],
  ['current database cannot be changed', '0A000'],
  ['aggregates cannot have output arguments', '0A000'],
  ['MATCH PARTIAL not yet implemented', '0A000'],
  ['constraints cannot be altered', '0A000'],
  ['WITH CHECK OPTION not supported', '0A000'],
];

interface Advice {
  readonly detail?: string;
  readonly hint?: string;
}

const ADVICE: readonly (readonly [string, Advice])[] = [
  ['unrecognized row security option', { hint: 'Only PERMISSIVE or RESTRICTIVE policies are supported currently.' }],
  ['missing argument', { hint: 'Use NONE to denote the missing argument of a unary operator.' }],
  ['LIMIT #,# syntax is not supported', { hint: 'Use separate LIMIT and OFFSET clauses.' }],
  [
    'invalid publication object list',
    { detail: 'One of TABLE or TABLES IN SCHEMA must be specified before a standalone table or schema name.' },
  ],
];

/** The fields of the server's answer. The line in its source is that of the parser's build. */
export function syntaxErrorFields({ message, position, place }: SyntaxError): ErrorFields {
  const where = position === null ? place : { position: String(position), ...place };
  if (message === 'invalid Unicode escape') {
    const inEscapeString = place.routine === 'core_yylex';
    const forms = inEscapeString ? '\\uXXXX or \\UXXXXXXXX' : '\\XXXX or \\+XXXXXX';
    const hint = `Unicode escapes must be ${forms}.`;
    return { severity: 'ERROR', sqlstate: inEscapeString ? '22025' : SYNTAX_ERROR, message, hint, ...where };
  }
  const sqlstate = find(SQLSTATE_OF, message) ?? SYNTAX_ERROR;
  return { severity: 'ERROR', sqlstate, message, ...find(ADVICE, message), ...where };
}

function find<T>(table: readonly (readonly [string, T])[], message: string): T | undefined {
  return table.find(([beginning]) => message.startsWith(beginning))?.[1];
}
