import { WireError } from '../errors.ts';
import type { StartupMessage } from './startup.ts';
import { tokeniseOptions } from './startup_options.ts';

/** What the client asks for, after the allow-list. */
export interface StartupRequest {
  /** The requested database user: never a subject. */
  readonly user: string;
  /** The user's name where absent, as PostgreSQL does. */
  readonly database: string;
  /** At most 256 characters, as sent; empty where absent. */
  readonly applicationName: string;
  /** What may go upstream, by its name in PostgreSQL, in the order given; `options` is taken apart into it. Without user and database. */
  readonly parameters: ReadonlyMap<string, string>;
  /** `_pq_.` options: none is known, so all are negotiated away. */
  readonly unknownOptions: readonly string[];
}

/** Names in lower case (they are matched without case, as PostgreSQL does), and the name that goes upstream. */
const ALLOWED: ReadonlyMap<string, string> = new Map(
  [
    'application_name',
    'client_encoding',
    'DateStyle',
    'TimeZone',
    'IntervalStyle',
    'extra_float_digits',
    'search_path',
    'statement_timeout',
    'lock_timeout',
    'idle_in_transaction_session_timeout',
  ].map((name) => [name.toLowerCase(), name]),
);

const VALUE_LIMIT = 1024;

/** Duplicates were refused by the decoder; here also those that differ in case, and those that come once more in `options`. */
export function readStartupParameters(message: StartupMessage): StartupRequest {
  const parameters = new Map<string, string>();
  const unknownOptions: string[] = [];
  let user = '';
  let database = '';
  for (const [name, value] of message.parameters) {
    if (name === 'user') user = value;
    else if (name === 'database') database = value;
    else if (name.startsWith('_pq_.')) unknownOptions.push(name);
    else if (name === 'options') for (const [option, set] of tokeniseOptions(value)) allow(parameters, option, set);
    else if (name === 'replication') refuseReplication(value);
    else allow(parameters, name, value);
  }
  if (user === '') throw new WireError('bad_value', 'no PostgreSQL user name specified in startup packet');
  checkIdentifier('user', user);
  checkIdentifier('database', database);
  return {
    user,
    database: database === '' ? user : database,
    applicationName: parameters.get('application_name') ?? '',
    parameters,
    unknownOptions,
  };
}

function allow(parameters: Map<string, string>, asked: string, value: string): void {
  const name = ALLOWED.get(asked.toLowerCase());
  if (name === undefined) throw new WireError('parameter_not_allowed', 'a startup parameter is not on the list of those that may be set');
  if (parameters.has(name)) throw new WireError('duplicate_parameter', `startup parameter ${name} is given twice`);
  checkValue(name, value);
  parameters.set(name, value);
}

function checkValue(name: string, value: string): void {
  if (value.includes('\0')) throw new WireError('embedded_nul', `startup parameter ${name} holds a NUL`);
  if (value.length > VALUE_LIMIT) throw new WireError('too_long', `startup parameter ${name} is longer than ${VALUE_LIMIT} characters`);
  if (name === 'client_encoding' && !/^["']?(utf-?8|unicode)["']?$/i.test(value)) {
    throw new WireError('bad_value', 'client_encoding must be UTF8: statements are read as UTF-8');
  }
}

/** `replication=false` is what some drivers send for an ordinary connection. */
function refuseReplication(value: string): void {
  if (!/^(false|off|no|0)$/i.test(value)) throw new WireError('parameter_not_allowed', 'replication connections are not served');
}

function checkIdentifier(what: string, value: string): void {
  if (value.includes('\0')) throw new WireError('embedded_nul', `the ${what} holds a NUL`);
  if (value.length > 256) throw new WireError('too_long', `the ${what} is longer than 256 characters`);
}
