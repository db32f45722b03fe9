/** JSON lines on standard output. Fields never hold a Secret's data, a token or a key: who logs says which fields it means. */
import { pino } from 'pino';
import type { Config } from '../config.ts';

/** What the parts of the operator log to: a line for each decision that matters. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(fields: object): Log;
}

export function createLog(level: Config['logLevel']): Log {
  return pino({
    level,
    base: null,
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label) => ({ level: label }) },
    // Not that anybody should, but an object that is logged whole must not be a leak.
    redact: { paths: ['token', 'password', 'data', '*.token', '*.password', '*.data'], censor: '[removed]' },
  });
}
