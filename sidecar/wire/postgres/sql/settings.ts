/** SET and RESET: which are harmless, and which would make the server read SQL otherwise than the parser does. */
import { asNode, constant, type Fields, fields, list, numeric, text } from './ast.ts';
import type { TextEffect } from './effects.ts';

const HARMLESS = new Set([
  'application_name',
  'extra_float_digits',
  'datestyle',
  'intervalstyle',
  'timezone',
  'statement_timeout',
  'lock_timeout',
  'idle_in_transaction_session_timeout',
  'bytea_output',
]);
const MESSAGE_LEVELS = new Set(['notice', 'warning', 'error']);
const ON = new Set(['on', 'true', 'yes', '1']);
/** Names are resolved, or rights are had, by these. */
const STATE = new Set(['search_path', 'role', 'session_authorization', 'client_encoding', 'standard_conforming_strings']);

export type SettingClass =
  /** Covered as a connection is. */
  | 'harmless'
  /** Changes how names are resolved, or with which rights. */
  | 'state'
  /** The transaction's own mode. */
  | 'transaction'
  | 'other'
  /** The server would read SQL otherwise than the parser: refused always. */
  | 'parser';

/** Of a VariableSetStmt. */
export function classifySetting(node: Fields): SettingClass {
  const kind = text(node.kind);
  const name = text(node.name).toLowerCase();
  if (kind === 'VAR_RESET_ALL') return 'state';
  if (kind === 'VAR_SET_MULTI') return name === 'transaction' ? 'transaction' : 'other';
  const resets = kind === 'VAR_RESET' || kind === 'VAR_SET_DEFAULT';
  if (kind !== 'VAR_SET_VALUE' && !resets) return STATE.has(name) || isParserSetting(name) ? 'parser' : 'other';
  if (resets) {
    if (name === 'backslash_quote') return 'parser';
    if (STATE.has(name)) return 'state';
    return HARMLESS.has(name) || name === 'client_min_messages' ? 'harmless' : 'other';
  }
  const args = list(node.args);
  return classifyValue(name, args.length === 1 ? constant(args[0]) : null, args.length);
}

/** Of `set_config(name, value)`, and of SET with one value. A value that is not known is null. */
export function classifyValue(rawName: string, value: string | null, count = 1): SettingClass {
  const name = rawName.toLowerCase();
  const lower = value?.toLowerCase() ?? null;
  if (name === 'client_encoding') return lower !== null && /^(utf-?8|unicode)$/.test(lower) ? 'harmless' : 'parser';
  if (name === 'standard_conforming_strings') return lower !== null && ON.has(lower) ? 'harmless' : 'parser';
  if (isParserSetting(name)) return 'parser';
  if (STATE.has(name)) return 'state';
  if (name === 'client_min_messages') return lower !== null && MESSAGE_LEVELS.has(lower) ? 'harmless' : 'other';
  return HARMLESS.has(name) && count > 0 ? 'harmless' : 'other';
}

function isParserSetting(name: string): boolean {
  return name === 'client_encoding' || name === 'standard_conforming_strings' || name === 'backslash_quote';
}

const READ_ONLY = new Set(['transaction_read_only', 'default_transaction_read_only']);
const PRIVILEGE = new Set(['role', 'session_authorization', 'row_security']);
/** What the server loads, runs or writes. */
const SERVER = /preload|library|_command|_directory|_file|^log_|^archive/;

/** What a SET or RESET does beyond this session's own comfort. */
export function effectsOfSetting(node: Fields): readonly TextEffect[] {
  const kind = text(node.kind);
  if (kind === 'VAR_RESET_ALL') return [{ kind: 'Write', what: 'RESET ALL' }];
  if (kind !== 'VAR_SET_MULTI') {
    const args = list(node.args);
    return effectsOfValue(text(node.name), kind === 'VAR_SET_VALUE' && args.length === 1 ? constant(args[0]) : null);
  }
  const turnsOff = list(node.args).some((item) => {
    const { defname, arg } = fields(asNode(item, 'DefElem'));
    return text(defname) === 'transaction_read_only' && numeric(fields(fields(asNode(arg, 'A_Const')).ival).ival) !== 1;
  });
  return turnsOff ? [{ kind: 'Write', what: 'SET TRANSACTION READ WRITE' }] : [];
}

/** The same of `set_config(name, value)`. A name that is not known may be any. */
export function effectsOfValue(rawName: string | null, value: string | null): readonly TextEffect[] {
  if (rawName === null) {
    const what = 'a setting that is not known';
    return [
      { kind: 'Write', what },
      { kind: 'PrivilegeChange', what },
      { kind: 'ServerAccess', what },
    ];
  }
  const name = rawName.toLowerCase();
  const what = `SET ${name}`;
  if (READ_ONLY.has(name)) return value !== null && ON.has(value.toLowerCase()) ? [] : [{ kind: 'Write', what }];
  if (PRIVILEGE.has(name)) return [{ kind: 'PrivilegeChange', what }];
  return SERVER.test(name) ? [{ kind: 'ServerAccess', what }] : [];
}
