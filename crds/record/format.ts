/**
 * What is stored of a recording, beside the events themselves: headers, seals, ledger entries, and where each file lies.
 * docs/recording.md is the specification.
 */
export const FORMAT_VERSION = 1;

/** First bytes of the message that is signed; none can be taken for another. */
export const SEGMENT_DOMAIN = 'chaperone.dev/recording/segment/1\n';
export const LEDGER_DOMAIN = 'chaperone.dev/recording/ledger/1\n';
export const HEAD_DOMAIN = 'chaperone.dev/recording/head/1\n';

/** Hash that the first entry of a ledger follows. */
export const NO_HASH = '0'.repeat(64);

export const STANDALONE = 'standalone';

/** First line of an open segment, first skippable frame of a sealed one: the same bytes in both, and the start of the hash chain. */
export interface SegmentHeader {
  readonly v: typeof FORMAT_VERSION;
  readonly format: 'chaperone-recording';
  readonly session: string;
  /** From 1. */
  readonly segment: number;
  /** Seq of the first event. */
  readonly firstSeq: number;
  /** `hash` of the last event of the segment before; null in the first segment. */
  readonly previous: string | null;
  /** RFC 3339. */
  readonly opened: string;
  /** UTC day that the session began, `YYYY-MM-DD`; with cluster and namespace, where the session's folder lies. */
  readonly date: string;
  readonly cluster: string;
  readonly namespace: string;
  readonly recorder: string;
  readonly algorithms: { readonly hash: 'sha256'; readonly signature: 'ed25519'; readonly compression: 'zstd' };
  /** SHA-256 of the public key's SPKI DER, hex. */
  readonly keyId: string;
  /** PEM, leaf first. Empty where there is no authority. */
  readonly certificates: readonly string[];
  /** Room for an envelope. */
  readonly encryption: null;
}

/** Last skippable frame of a sealed segment. */
export interface Seal {
  readonly v: typeof FORMAT_VERSION;
  /** Of all stored bytes before the seal's frame. */
  readonly sha256: string;
  /** Of the whole stored file of the segment before; null in the first. */
  readonly previous: string | null;
  readonly events: number;
  readonly lastSeq: number;
  /** `hash` of the last event. */
  readonly head: string;
  readonly sealed: string;
  /** Recorder that sealed it: another than the header's where a later start did. */
  readonly recorder: string;
  /** True where the next start sealed it. */
  readonly recovered: boolean;
  readonly keyId: string;
  /** Ed25519, hex; over SEGMENT_DOMAIN and the stored bytes of this JSON without this member. */
  readonly signature: string;
}

export interface LedgerBase {
  readonly v: typeof FORMAT_VERSION;
  readonly recorder: string;
  /** From 1. */
  readonly entry: number;
  /** SHA-256 of the stored line before, without its newline; NO_HASH in the first. */
  readonly previous: string;
  readonly time: string;
  readonly keyId: string;
  /** Ed25519, hex; over LEDGER_DOMAIN and the stored bytes of the line without this member. */
  readonly signature: string;
}

/** A ledger that a recorder found at its start, and that no other recorder had found before it. */
export interface LedgerHead {
  readonly recorder: string;
  readonly entries: number;
  readonly head: string;
}

export interface RecorderStartEntry extends LedgerBase {
  readonly type: 'recorderStart';
  readonly found: readonly LedgerHead[];
}
/** What earlier recorders left open is sealed: every session that they began has its end in some ledger. */
export interface RecoveredEntry extends LedgerBase {
  readonly type: 'recovered';
  readonly sessions: number;
}
export interface SessionStartEntry extends LedgerBase {
  readonly type: 'sessionStart';
  readonly session: string;
  readonly date: string;
  readonly cluster: string;
  readonly namespace: string;
}
export interface SegmentEntry extends LedgerBase {
  readonly type: 'segment';
  readonly session: string;
  readonly segment: number;
  /** Of the whole stored file. */
  readonly sha256: string;
  readonly lastSeq: number;
}
export interface SessionEndEntry extends LedgerBase {
  readonly type: 'sessionEnd';
  readonly session: string;
  readonly reason: string;
  readonly segments: number;
  readonly lastSeq: number;
}
/** Written only where every session of this recorder has its end in this ledger. */
export interface RecorderEndEntry extends LedgerBase {
  readonly type: 'recorderEnd';
}
/** The chain (PEM, leaf first) that proves the recorder's key: written when it is had, and at each renewal, so that it also shows that the recorder lives. */
export interface CertificateEntry extends LedgerBase {
  readonly type: 'certificate';
  readonly certificates: readonly string[];
}
export type LedgerEntry =
  | RecorderStartEntry
  | CertificateEntry
  | RecoveredEntry
  | SessionStartEntry
  | SegmentEntry
  | SessionEndEntry
  | RecorderEndEntry;

type LedgerStamp = 'v' | 'recorder' | 'entry' | 'previous' | 'time' | 'keyId' | 'signature';
export type NewLedgerEntry = LedgerEntry extends infer E ? (E extends LedgerBase ? Omit<E, LedgerStamp> : never) : never;

/**
 * The operator's word, in a bucket, that a recorder's ledger had come to this entry. With 0 entries: that the recorder is of this pod, before anything
 * of it is stored.
 */
export interface HeadStatement {
  readonly v: typeof FORMAT_VERSION;
  readonly format: 'chaperone-recording-head';
  readonly recorder: string;
  readonly entries: number;
  /** Hash of the last entry; NO_HASH for none. */
  readonly head: string;
  readonly time: string;
  readonly cluster: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly pod: string;
  readonly podUid: string;
  readonly keyId: string;
  /** Chain of the recording authority's key, PEM, leaf first. */
  readonly certificates: readonly string[];
  /** Ed25519, hex; over HEAD_DOMAIN and the stored bytes without this member. */
  readonly signature: string;
}

/** Where a session's folder lies, and what its headers must say again. */
export interface SessionPlace {
  readonly date: string;
  readonly cluster: string;
  readonly namespace: string;
  readonly session: string;
}

/** Relative to the `recordings` folder. */
export function sessionFolder(place: SessionPlace): string {
  return `date=${place.date}/cluster=${place.cluster}/namespace=${place.namespace}/session=${place.session}`;
}

export function segmentName(segment: number, state: 'open' | 'sealed'): string {
  const name = `segment-${String(segment).padStart(6, '0')}`;
  return state === 'open' ? `${name}.open.jsonl` : `${name}.jsonl.zst`;
}

export function ledgerFile(recorder: string): string {
  return `ledger/recorder=${recorder}/ledger.jsonl`;
}

/** A bucket has the ledger in pieces of whole lines, from 1: one after the other they are `ledger.jsonl`. */
export function ledgerChunkFile(recorder: string, chunk: number): string {
  return `ledger/recorder=${recorder}/ledger-${String(chunk).padStart(6, '0')}.jsonl`;
}

export function headFile(recorder: string, entries: number): string {
  return `heads/recorder=${recorder}/${String(entries).padStart(12, '0')}.json`;
}

/** The operator sees by this object that the bucket refuses to store one twice. It says nothing. */
export const SELF_CHECK_FILE = 'self-check/create-only';

export type StoredFile =
  | { readonly type: 'segment'; readonly place: SessionPlace; readonly segment: number; readonly state: 'open' | 'sealed' }
  | { readonly type: 'ledger'; readonly recorder: string }
  | { readonly type: 'ledgerChunk'; readonly recorder: string; readonly chunk: number }
  | { readonly type: 'head'; readonly recorder: string; readonly entries: number }
  | { readonly type: 'selfCheck' }
  | { readonly type: 'unknown' };

const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';
const LABEL = '[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?';
const SEGMENT_PATH = new RegExp(
  `^date=(\\d{4}-\\d{2}-\\d{2})/cluster=(${LABEL})/namespace=(${LABEL})/session=(${UUID})/segment-(\\d{6,9})(\\.open\\.jsonl|\\.jsonl\\.zst)$`,
);
const LEDGER_PATH = new RegExp(`^ledger/recorder=(${UUID})/ledger(?:-(\\d{6,9}))?\\.jsonl$`);
const HEAD_PATH = new RegExp(`^heads/recorder=(${UUID})/(\\d{12})\\.json$`);

/** What a path below the `recordings` folder (with `/`) should hold. Only the one spelling that the recorder writes is known. */
export function storedFile(path: string): StoredFile {
  const [, ledger, chunk] = LEDGER_PATH.exec(path) ?? [];
  if (ledger !== undefined && chunk === undefined) return { type: 'ledger', recorder: ledger };
  if (ledger !== undefined && ledgerChunkFile(ledger, Number(chunk)) === path && Number(chunk) > 0)
    return { type: 'ledgerChunk', recorder: ledger, chunk: Number(chunk) };
  const [, recorder, entries] = HEAD_PATH.exec(path) ?? [];
  if (recorder !== undefined) return { type: 'head', recorder, entries: Number(entries) };
  if (path === SELF_CHECK_FILE) return { type: 'selfCheck' };
  const [, date, cluster, namespace, session, digits, suffix] = SEGMENT_PATH.exec(path) ?? [];
  if (date === undefined || cluster === undefined || namespace === undefined || session === undefined) return { type: 'unknown' };
  const segment = Number(digits);
  const state = suffix === '.open.jsonl' ? 'open' : 'sealed';
  const place = { date, cluster, namespace, session };
  return `${sessionFolder(place)}/${segmentName(segment, state)}` === path && segment > 0
    ? { type: 'segment', place, segment, state }
    : { type: 'unknown' };
}

/** A cluster's or a namespace's name. Also keeps paths free of what means something to a file system. */
export function isLabel(text: unknown): text is string {
  return typeof text === 'string' && new RegExp(`^${LABEL}$`).test(text);
}

export function isUuid(text: unknown): text is string {
  return typeof text === 'string' && new RegExp(`^${UUID}$`).test(text);
}

export function isHash(text: unknown): text is string {
  return typeof text === 'string' && /^[0-9a-f]{64}$/.test(text);
}
