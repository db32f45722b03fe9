import { jsonObject, splitLastMember } from './bytes.ts';
import { FORMAT_VERSION, type HeadStatement, isHash, isLabel, isUuid, type LedgerEntry, type Seal, type SegmentHeader } from './format.ts';

/** Closed: a member too many, or one of another type, and the whole is not understood. */
type Shape = { readonly [member: string]: (value: unknown) => boolean };
/** Certificates in a chain. */
const MAX_CHAIN = 8;
type Json = { readonly [member: string]: unknown };

const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;
const isPositive = (value: unknown) => isCount(value) && value !== 0;
const isTime = (value: unknown) => typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(value);
const isDate = (value: unknown) => typeof value === 'string' && /^\d{4}-\d\d-\d\d$/.test(value);
const isText = (value: unknown) => typeof value === 'string' && value.length <= 512;
const isSignature = (value: unknown) => typeof value === 'string' && /^[0-9a-f]{128}$/.test(value);
const isBoolean = (value: unknown) => typeof value === 'boolean';
const isVersion = (value: unknown) => value === FORMAT_VERSION;
const isCertificates = (value: unknown) =>
  Array.isArray(value) && value.length <= MAX_CHAIN && value.every((one) => typeof one === 'string');
const isHashOrNull = (value: unknown) => value === null || isHash(value);

const ALGORITHMS: Shape = { hash: is('sha256'), signature: is('ed25519'), compression: is('zstd') };

const HEADER: Shape = {
  v: isVersion,
  format: is('chaperone-recording'),
  session: isUuid,
  segment: isPositive,
  firstSeq: isPositive,
  previous: isHashOrNull,
  opened: isTime,
  date: isDate,
  cluster: isLabel,
  namespace: isLabel,
  recorder: isUuid,
  algorithms: (value) => isObject(value) && fits(value, ALGORITHMS),
  keyId: isHash,
  certificates: isCertificates,
  encryption: (value) => value === null || isObject(value),
};

const SEAL: Shape = {
  v: isVersion,
  sha256: isHash,
  previous: isHashOrNull,
  events: isPositive,
  lastSeq: isPositive,
  head: isHash,
  sealed: isTime,
  recorder: isUuid,
  recovered: isBoolean,
  keyId: isHash,
  signature: isSignature,
};

const ENTRY: Shape = {
  v: isVersion,
  recorder: isUuid,
  entry: isPositive,
  previous: isHash,
  time: isTime,
  type: isText,
  keyId: isHash,
  signature: isSignature,
};

const FOUND: Shape = { recorder: isUuid, entries: isPositive, head: isHash };

const ENTRIES: { readonly [type in LedgerEntry['type']]: Shape } = {
  recorderStart: { found: (value) => Array.isArray(value) && value.every((one) => isObject(one) && fits(one, FOUND)) },
  certificate: { certificates: isCertificates },
  recovered: { sessions: isCount },
  sessionStart: { session: isUuid, date: isDate, cluster: isLabel, namespace: isLabel },
  segment: { session: isUuid, segment: isPositive, sha256: isHash, lastSeq: isPositive },
  sessionEnd: { session: isUuid, reason: isText, segments: isCount, lastSeq: isCount },
  recorderEnd: {},
};

const HEAD: Shape = {
  v: isVersion,
  format: is('chaperone-recording-head'),
  recorder: isUuid,
  entries: isCount,
  head: isHash,
  time: isTime,
  cluster: isLabel,
  namespace: isLabel,
  serviceAccount: isText,
  pod: isText,
  podUid: isText,
  keyId: isHash,
  certificates: isCertificates,
  signature: isSignature,
};

/** `notSupported`: it is a header, of a version or with a feature (encryption) that this verifier does not know. */
export type ParsedHeader = { readonly type: 'ok'; readonly header: SegmentHeader } | { readonly type: 'invalid' | 'notSupported' };

export function parseHeader(bytes: Uint8Array): ParsedHeader {
  const json = jsonObject(bytes);
  if (json?.['format'] !== 'chaperone-recording') return { type: 'invalid' };
  if (json['v'] !== FORMAT_VERSION) return { type: 'notSupported' };
  if (!fits(json, HEADER)) return { type: 'invalid' };
  if (json['encryption'] !== null) return { type: 'notSupported' };
  return { type: 'ok', header: json as unknown as SegmentHeader };
}

export interface Signed<T> {
  readonly value: T;
  /** What was signed, after the domain. */
  readonly body: Uint8Array;
}

export function parseSeal(bytes: Uint8Array): Signed<Seal> | null {
  const json = jsonObject(bytes);
  const split = splitLastMember(bytes, 'signature', 128);
  return json !== null && split !== null && fits(json, SEAL) ? { value: json as unknown as Seal, body: split.body } : null;
}

export function parseLedgerEntry(line: Uint8Array): Signed<LedgerEntry> | null {
  const json = jsonObject(line);
  const split = splitLastMember(line, 'signature', 128);
  if (json === null || split === null || !isEntryType(json['type'])) return null;
  return fits(json, { ...ENTRY, ...ENTRIES[json['type']] }) ? { value: json as unknown as LedgerEntry, body: split.body } : null;
}

export function parseHead(bytes: Uint8Array): Signed<HeadStatement> | null {
  const json = jsonObject(bytes);
  const split = splitLastMember(bytes, 'signature', 128);
  return json !== null && split !== null && fits(json, HEAD) ? { value: json as unknown as HeadStatement, body: split.body } : null;
}

function isEntryType(value: unknown): value is LedgerEntry['type'] {
  return typeof value === 'string' && Object.hasOwn(ENTRIES, value);
}

function is(wanted: string): (value: unknown) => boolean {
  return (value) => value === wanted;
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function fits(json: Json, shape: Shape): boolean {
  const members = Object.keys(json);
  return (
    members.length === Object.keys(shape).length && members.every((member) => Object.hasOwn(shape, member) && shape[member]?.(json[member]))
  );
}
