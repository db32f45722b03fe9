/** The alphabet of a session: what a client may send, and what a server may answer, well-formed and in any order. */
import * as bytes from '../corpora/bytes.ts';

/** Denied by the policy of the target: no server may ever see it. */
export const FORBIDDEN = 'DELETE FROM forbidden';
const MARK = 'a-value';

const TEXTS = [
  'SHOW work_mem',
  'BEGIN',
  'COMMIT',
  'ROLLBACK',
  "SET work_mem = '1MB'",
  FORBIDDEN,
  `BEGIN; ${FORBIDDEN}`,
  '',
  ';',
  'DEALLOCATE ALL',
  'DISCARD ALL',
  'SAVEPOINT s',
  'FETCH 1 FROM c',
  'not sql',
  'SELECT 1',
  'CLOSE ALL',
  'LISTEN c',
  "NOTIFY c, 'x'",
];
const NAMES = ['', 'a', 'c'];

export const CLIENT_TEXTS: ReadonlySet<string> = new Set(TEXTS);
export const CLIENT: readonly Buffer[] = [
  ...TEXTS.map((text) => bytes.query(text)),
  ...NAMES.flatMap((name) => TEXTS.slice(0, 9).map((text) => bytes.parse(name, text))),
  ...NAMES.flatMap((portal) => NAMES.map((statement) => bytes.bind(portal, statement))),
  ...NAMES.flatMap((name) => [bytes.execute(name), bytes.execute(name, 1)]),
  ...NAMES.flatMap((name) => ['S', 'P'].flatMap((kind) => [bytes.describe(kind, name), bytes.close(kind, name)])),
  ...[
    bytes.sync(),
    bytes.sync(),
    bytes.flush(),
    bytes.copyData('1\n'),
    bytes.copyDone(),
    bytes.copyFail('no'),
    bytes.functionCall(1, [], 0),
  ],
];

const int16 = (value: number): Buffer => Buffer.from([(value >> 8) & 255, value & 255]);
const int32 = (value: number): Buffer => Buffer.from([(value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255]);

function message(type: string, ...parts: readonly (Buffer | string)[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part as string)));
  return Buffer.concat([Buffer.from(type), int32(body.length + 4), body]);
}

const field = (name: string, type: number, format: number): Buffer =>
  Buffer.concat([Buffer.from(`${name}\0`), int32(0), int16(0), int32(type), int16(65_535), int32(-1), int16(format)]);
const row = (...values: readonly (string | null)[]): Buffer =>
  message(
    'D',
    int16(values.length),
    ...values.map((value) => (value === null ? int32(-1) : Buffer.concat([int32(value.length), Buffer.from(value)]))),
  );
const error = (severity: string): Buffer => message('E', `S${severity}\0V${severity}\0C42601\0M${MARK} is no good\0D${MARK}\0\0`);
const copy = (type: string): Buffer => message(type, Buffer.from([0]), int16(1), int16(0));

export const READY = message('Z', 'I');
export const USUAL = Buffer.concat([message('C', 'SHOW\0'), READY]);
/** The answer to the sidecar's own question for role and search_path, which comes first. */
export const STATE = Buffer.concat([
  ...[
    message('1'),
    message('2'),
    row('none', 'app', '["pg_catalog","public"]'),
    message('C', 'SELECT 1\0'),
    message('3'),
    message('3'),
    READY,
  ],
]);
export const SERVER: readonly Buffer[] = [
  ...['I', 'T', 'E', 'X'].map((status) => message('Z', status)),
  ...['SHOW', 'BEGIN', 'COMMIT', 'ROLLBACK', 'SELECT 1', 'DELETE 5', `SHOW ${MARK}`, ''].map((tag) => message('C', `${tag}\0`)),
  ...['1', '2', '3', 'n', 's', 'I', 'c'].map((type) => message(type)),
  message('T', int16(1), field('work_mem', 25, 0)),
  message('T', int16(2), field(MARK, 25, 0), field('b', 17, 1)),
  message('T', int16(0)),
  ...[row('4MB'), row(MARK), row(`x ${MARK} y`, MARK), row(null), row()],
  message('D', int16(1), int32(900), MARK),
  ...[error('ERROR'), error('FATAL'), message('E', `M${MARK}\0\0`), message('N', `SNOTICE\0VNOTICE\0C01000\0M${MARK}\0\0`)],
  message('t', int16(1), int32(25)),
  message('A', int32(9), `c\0${MARK}\0`),
  ...['application_name', 'client_encoding', 'standard_conforming_strings', 'in_hot_standby'].map((name) =>
    message('S', `${name}\0${MARK}\0`),
  ),
  ...[copy('G'), copy('H'), copy('W'), message('d', `${MARK}\n`), message('d', 'plain\n')],
  ...[message('R', int32(0)), message('K', int32(7), int32(8)), message('V', int32(3), MARK), message('?', MARK)],
];
