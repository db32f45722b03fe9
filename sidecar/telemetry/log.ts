import type { Writable } from 'node:stream';
import { styleText } from 'node:util';
import { pino } from 'pino';
import type { Log } from '../pipeline.ts';
import { printable, scrub } from './scrub.ts';

export interface LogOptions {
  readonly stream: Writable;
  /** `json`: one object a line; `pretty`: one line for a person. */
  readonly format: 'json' | 'pretty';
  readonly color: boolean;
  readonly level?: 'info' | 'warn' | 'error';
}

/** Members that are never written, whatever they hold, at the top or one or two levels down. */
const SECRET_MEMBERS = ['password', 'secret', 'token', 'jwt', 'authorization', 'credential', 'credentials', 'key', 'privateKey', 'cookie'];

/** Never throws: a log that can't be written must not stop the data path. */
export function createLog(options: LogOptions): Log {
  const write = (line: string) => {
    const text = options.format === 'json' ? line : prettyLine(line, options.color);
    options.stream.write(scrub(text));
  };
  const logger = pino(
    {
      level: options.level ?? 'info',
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (level) => ({ level }) },
      messageKey: 'message',
      redact: { paths: SECRET_MEMBERS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: '‹redacted›' },
    },
    { write },
  );
  return {
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
  };
}

const LEVEL_STYLE = { info: 'dim', warn: 'yellow', error: 'red' } as const;

/** `10:23:45 warn  message  name=value`. */
function prettyLine(line: string, color: boolean): string {
  const { level, time, message, ...fields } = JSON.parse(line) as { readonly [member: string]: unknown };
  const name = level === 'error' || level === 'warn' ? level : 'info';
  const paint = (style: 'dim' | 'yellow' | 'red', text: string) => (color ? styleText(style, text, { validateStream: false }) : text);
  const rest = Object.entries(fields).map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  const text = [printable(typeof message === 'string' ? message : ''), paint('dim', printable(rest.join(' ')))]
    .filter((part) => part !== '')
    .join('  ');
  return `${paint('dim', clock(String(time)))} ${paint(LEVEL_STYLE[name], name.padEnd(5))} ${text}\n`;
}

let second = Number.NaN;
let secondText = '';

/** Local time of day. */
export function clock(time: string | number): string {
  if (typeof time === 'string') return clock(Date.parse(time));
  const now = Math.floor(time / 1000);
  if (now !== second) {
    second = now;
    secondText = timeOfDay(new Date(time));
  }
  return secondText;
}

function timeOfDay(at: Date): string {
  return [at.getHours(), at.getMinutes(), at.getSeconds()].map((part) => String(part).padStart(2, '0')).join(':');
}
