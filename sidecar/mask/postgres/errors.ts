import type { ErrorFields } from '../../wire/postgres/messages/error_notice.ts';
import type { Detectors } from '../detect.ts';
import { isServerSqlstate } from './errors-sqlstates.ts';

export interface ErrorMaskOptions {
  /** The statement reads or writes something that has masked columns. */
  readonly touchesMasked: boolean;
  readonly detectors: Detectors | null;
}

/**
 * A server's error or notice as the client may see it. Where the statement touches masked data, SQLSTATE and severity stay, the message is a
 * fixed text for its class (but for syntax and name errors, class 42), and everything that may hold a value is dropped.
 */
export function maskError(fields: ErrorFields, { touchesMasked, detectors }: ErrorMaskOptions): ErrorFields {
  if (!touchesMasked) return detectors === null ? fields : maskAll(fields, detectors);
  const { severity, severityEnglish, sqlstate, position, hint, file, line, routine } = fields;
  const names = isAboutNames(fields) || isAboutSession(fields);
  return {
    severity: plainSeverity(severity),
    ...(severityEnglish !== undefined && { severityEnglish: plainSeverity(severityEnglish) }),
    sqlstate: isServerSqlstate(sqlstate) ? sqlstate : 'XX000',
    message: names ? maskText(fields.message, detectors) : fixedMessage(sqlstate),
    ...(hint !== undefined && names && { hint: maskText(hint, detectors) }),
    ...(position !== undefined && names && /^\d{1,9}$/.test(position) && { position }),
    ...(names && file !== undefined && { file }),
    ...(names && line !== undefined && { line }),
    ...(names && routine !== undefined && { routine }),
  };
}

function maskAll(fields: ErrorFields, detectors: Detectors): ErrorFields {
  const masked: { [name: string]: string } = {};
  for (const [name, value] of Object.entries(fields) as [string, string][]) masked[name] = maskText(value, detectors);
  return { ...fields, ...masked, sqlstate: fields.sqlstate };
}

function maskText(text: string, detectors: Detectors | null): string {
  return detectors === null ? text : detectors.mask(text).text;
}

/**
 * Most of class 42 is made from the statement's own text before it runs, and clients live by it: missing tables, columns, ambiguous names.
 * What a function raises has a context or comes from a language's executor, and may say anything under any code.
 */
function isAboutNames({ sqlstate, where, file }: ErrorFields): boolean {
  return NAMES.has(sqlstate) && where === undefined && file !== undefined && !EXECUTORS.has(file);
}

/** Files of the server whose messages name a transaction, savepoint, cursor or prepared statement, and nothing that was read. */
const SESSION_FILES = new Set(['xact.c', 'portalcmds.c', 'prepare.c']);

function isAboutSession({ where, file }: ErrorFields): boolean {
  return where === undefined && file !== undefined && SESSION_FILES.has(file);
}

const EXECUTORS = new Set(['pl_exec.c', 'plperl.c', 'plpy_elog.c', 'pltcl.c', 'plpy_plpymodule.c']);

/** syntax_error, undefined_*, duplicate_*, ambiguous_*, insufficient_privilege, grouping_error, datatype_mismatch, wrong_object_type, indeterminate_*. */
const NAMES = new Set([
  '42601',
  '42501',
  '42P01',
  '42703',
  '42883',
  '42704',
  '42P02',
  '42702',
  '42725',
  '42P08',
  '42P09',
  '42803',
  '42P20',
  '42804',
  '42809',
  '42P18',
  '42P10',
  '42846',
  '42701',
  '42P05',
  '42P03',
  '42712',
  '42P04',
  '42P06',
  '42P07',
  '42723',
  '42710',
  '42611',
  '42P11',
  '42P12',
  '42P13',
  '42P14',
  '42P15',
  '42P16',
  '42P17',
  '42P19',
  '42P21',
  '42P22',
  // invalid_schema_name
  '3F000',
]);

/** By class. https://www.postgresql.org/docs/current/errcodes-appendix.html */
const CLASSES: { readonly [code: string]: string } = {
  '00': 'notice',
  '01': 'warning',
  '02': 'no data',
  '08': 'connection exception',
  '0A': 'feature not supported',
  '21': 'cardinality violation',
  '22': 'data exception',
  '23': 'integrity constraint violation',
  '24': 'invalid cursor state',
  '25': 'invalid transaction state',
  '26': 'invalid SQL statement name',
  '28': 'invalid authorization',
  '2B': 'dependent objects still exist',
  '2D': 'invalid transaction termination',
  '34': 'invalid cursor name',
  '3B': 'savepoint exception',
  '3D': 'invalid catalog name',
  '3F': 'invalid schema name',
  '40': 'transaction rollback',
  '42': 'syntax error or access rule violation',
  '44': 'with check option violation',
  '53': 'insufficient resources',
  '54': 'program limit exceeded',
  '55': 'object not in prerequisite state',
  '57': 'operator intervention',
  '58': 'system error',
  P0: 'error in a function',
  XX: 'internal error',
};

function fixedMessage(sqlstate: string): string {
  const text = CLASSES[sqlstate.slice(0, 2)] ?? 'error';
  return `${text} (${isServerSqlstate(sqlstate) ? sqlstate : 'XX000'}); the details are hidden because the statement touches masked data`;
}

const SEVERITIES = new Set(['ERROR', 'FATAL', 'PANIC', 'WARNING', 'NOTICE', 'DEBUG', 'INFO', 'LOG']);

/** A translated one is given as its sender meant it; it never holds a value. */
function plainSeverity(severity: string): string {
  return SEVERITIES.has(severity) || /^\p{L}{1,20}$/u.test(severity) ? severity : 'ERROR';
}
