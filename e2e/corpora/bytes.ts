/** Frontend messages as bytes. Apart from the product's codecs on purpose: what tests them has its own. https://www.postgresql.org/docs/current/protocol-message-formats.html */

type Parameter = Buffer | string | number | boolean | null;

const cstring = (text: string | Buffer): Buffer => Buffer.concat([Buffer.from(text as string), Buffer.from([0])]);

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

function message(type: string, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from(type), int32(body.length + 4), body]);
}

function parameter(value: Parameter): Buffer {
  if (value === null) return int32(-1);
  const bytes = Buffer.isBuffer(value) ? value : Buffer.from(String(value));
  return Buffer.concat([int32(bytes.length), bytes]);
}

export function startup(parameters: Readonly<Record<string, string>>): Buffer {
  const pairs = Object.entries(parameters).flatMap(([name, value]) => [cstring(name), cstring(value)]);
  const body = Buffer.concat([int32(0x30000), ...pairs, Buffer.from([0])]);
  return Buffer.concat([int32(body.length + 4), body]);
}

export const password = (text: string): Buffer => message('p', cstring(text));
export const saslFirst = (mechanism: string, data: string): Buffer =>
  message('p', cstring(mechanism), int32(Buffer.byteLength(data)), Buffer.from(data));
export const saslNext = (data: string): Buffer => message('p', Buffer.from(data));

export const query = (sql: string | Buffer): Buffer => message('Q', cstring(sql));
export const parse = (name: string, sql: string): Buffer => message('P', cstring(name), cstring(sql), int16(0));
export const bind = (portal: string, statement: string, parameters: readonly Parameter[] = [], format = 0): Buffer =>
  message(
    'B',
    cstring(portal),
    cstring(statement),
    int16(0),
    int16(parameters.length),
    ...parameters.map(parameter),
    int16(1),
    int16(format),
  );
export const describe = (kind: string, name: string): Buffer => message('D', Buffer.from(kind), cstring(name));
export const execute = (portal: string, maxRows = 0): Buffer => message('E', cstring(portal), int32(maxRows));
export const close = (kind: string, name: string): Buffer => message('C', Buffer.from(kind), cstring(name));
export const sync = (): Buffer => message('S');
export const flush = (): Buffer => message('H');
export const terminate = (): Buffer => message('X');
export const copyData = (data: string): Buffer => message('d', Buffer.from(data));
export const copyDone = (): Buffer => message('c');
export const functionCall = (oid: number, args: readonly Parameter[], format: number): Buffer =>
  message('F', int32(oid), int16(1), int16(0), int16(args.length), ...args.map(parameter), int16(format));

/** Messages by the letters that the cases write them with. */
export function ofLetter(letter: string, args: readonly unknown[]): Buffer {
  const make = MESSAGES[letter];
  if (make === undefined) throw new Error(`a case sends message ${letter}, which is not known here`);
  return make(...args);
}

const MESSAGES: Readonly<Record<string, (...args: readonly unknown[]) => Buffer>> = {
  P: (name, sql) => parse(name as string, sql as string),
  B: (portal, statement, parameters, format) => bind(portal as string, statement as string, parameters as Parameter[], format as number),
  D: (kind, name) => describe(kind as string, name as string),
  E: (portal, max) => execute(portal as string, max as number),
  C: (kind, name) => close(kind as string, name as string),
  S: sync,
  H: flush,
  Q: (sql) => query(sql as string),
  X: terminate,
  d: (data) => copyData(data as string),
  c: copyDone,
};
export const copyFail = (why: string): Buffer => message('f', cstring(why));
