import { concat, jsonObject, linesOf, splitLastMember, utf8 } from './bytes.ts';
import { type Chained, RECORD_VERSION, type RecordEvent } from './event.ts';
import type { Platform } from './finding.ts';
import type { Seal, SegmentHeader } from './format.ts';
import { MAX_PLAIN_BYTES, sealedLayout } from './frames.ts';
import { parseHeader, parseSeal, type Signed } from './parse.ts';

/** Events of one segment may be this long together. A recorder rotates far earlier; a longer one is a bomb. */
export const MAX_SEGMENT_BYTES = 64 * 1024 * 1024;

export type StoredEvent = RecordEvent & Chained;

const EVENT_TYPES: ReadonlySet<unknown> = new Set<RecordEvent['type']>(['start', 'action', 'result', 'rows', 'approval', 'note', 'end']);

/** A segment taken apart, before any of it is believed. What could not be read is null. */
export interface SegmentParts {
  readonly header: SegmentHeader | null;
  readonly headerProblem: 'HeaderInvalid' | 'NotSupported' | null;
  readonly headerBytes: Uint8Array;
  readonly seal: Signed<Seal> | null;
  readonly sealProblem: 'SealMissing' | 'SealInvalid' | null;
  /** All stored bytes before the seal. */
  readonly sealed: Uint8Array | null;
  /** Event lines. */
  readonly body: Uint8Array | null;
}

export function takeApart(file: Uint8Array, state: 'open' | 'sealed', platform: Pick<Platform, 'decompress'>): SegmentParts {
  return state === 'open' ? openParts(file) : sealedParts(file, platform);
}

function openParts(file: Uint8Array): SegmentParts {
  const first = linesOf(file.subarray(0, MAX_PLAIN_BYTES)).next();
  const line = first.done || !first.value.whole ? null : first.value.bytes;
  const body = line === null || file.length > MAX_SEGMENT_BYTES ? null : file.subarray(line.length + 1, readableBytes(file));
  return { ...headerParts(line), seal: null, sealProblem: null, sealed: null, body };
}

/**
 * Zeros at the end of an open segment are room that its recorder took ahead: no event has a zero byte in it. A last line with some was being
 * put there, in whatever order, when the file was read or the process died.
 */
export function writtenBytes(file: Uint8Array): number {
  const { start, end, torn } = lastLine(file);
  return torn ? start : end;
}

/** With such a last line, but without its line feed: whoever reads it sees that it is torn, and does not take a changed one for none. */
function readableBytes(file: Uint8Array): number {
  const { end, torn } = lastLine(file);
  return torn && file[end - 1] === 0x0a ? end - 1 : end;
}

function lastLine(file: Uint8Array): { readonly start: number; readonly end: number; readonly torn: boolean } {
  let end = file.length;
  while (end > 0 && file[end - 1] === 0) end -= 1;
  const start = end < 2 ? 0 : file.lastIndexOf(0x0a, end - 2) + 1;
  return { start, end, torn: file.subarray(start, end).includes(0) };
}

function sealedParts(file: Uint8Array, platform: Pick<Platform, 'decompress'>): SegmentParts {
  const found = sealedLayout(file);
  if (found.type !== 'ok') {
    const sealProblem = found.type === 'seal' ? 'SealMissing' : null;
    return { ...headerParts(found.header), seal: null, sealProblem, sealed: null, body: null };
  }
  const { layout } = found;
  const seal = parseSeal(layout.seal);
  const sealProblem = seal === null ? 'SealInvalid' : null;
  return { ...headerParts(layout.header), seal, sealProblem, sealed: layout.sealed, body: decompressed(layout.body, platform) };
}

function headerParts(bytes: Uint8Array | null): Pick<SegmentParts, 'header' | 'headerProblem' | 'headerBytes'> {
  if (bytes === null) return { header: null, headerProblem: 'HeaderInvalid', headerBytes: new Uint8Array() };
  const parsed = parseHeader(bytes);
  if (parsed.type === 'ok') return { header: parsed.header, headerProblem: null, headerBytes: bytes };
  return { header: null, headerProblem: parsed.type === 'invalid' ? 'HeaderInvalid' : 'NotSupported', headerBytes: bytes };
}

function decompressed(body: Uint8Array, platform: Pick<Platform, 'decompress'>): Uint8Array | null {
  try {
    return platform.decompress(body, MAX_SEGMENT_BYTES);
  } catch {
    return null;
  }
}

/** Hash of an event: over the hash before it (as hex) and the line's bytes without its own hash. */
export function chainHash(platform: Pick<Platform, 'sha256'>, previous: string, body: Uint8Array): string {
  return platform.sha256(concat(utf8(previous), body));
}

export type ReadLine =
  | { readonly type: 'event'; readonly event: StoredEvent; readonly body: Uint8Array }
  /** Not an event, or not one of this version. */
  | { readonly type: 'invalid' }
  /** A last line without its newline, as a process that died leaves it. */
  | { readonly type: 'torn' };

/** Reads event lines without judging their chain. */
export function* readEvents(body: Uint8Array): Generator<ReadLine> {
  for (const line of linesOf(body)) {
    const event = readEvent(line.bytes);
    if (line.whole) yield event ?? { type: 'invalid' };
    // A write that was cut is the beginning of a line. A whole line and something else after it is not.
    else yield event === null && readEvent(line.bytes.subarray(0, -1)) !== null ? { type: 'invalid' } : { type: 'torn' };
  }
}

function readEvent(line: Uint8Array): Extract<ReadLine, { type: 'event' }> | null {
  const split = splitLastMember(line, 'hash', 64);
  const json = split === null ? null : jsonObject(line);
  if (split === null || json === null) return null;
  const known =
    json['v'] === RECORD_VERSION &&
    typeof json['session'] === 'string' &&
    Number.isSafeInteger(json['seq']) &&
    typeof json['time'] === 'string' &&
    EVENT_TYPES.has(json['type']) &&
    json['hash'] === split.hex;
  return known ? { type: 'event', event: json as unknown as StoredEvent, body: split.body } : null;
}
