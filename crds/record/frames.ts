import { concat } from './bytes.ts';

/**
 * A sealed segment is a valid zstd file: a skippable frame (RFC 8878, section 3.1.2) with the header, zstd frames with the events,
 * and a skippable frame with the seal. Tools that know zstd see the events alone.
 */
const SKIPPABLE = 0x184d2a50;
const FRAME_HEADER = 8;
/** The longest header or seal that is read. Certificate chains fit. */
export const MAX_PLAIN_BYTES = 256 * 1024;
const MAX_SEAL_BYTES = 4096;

export function skippableFrame(content: Uint8Array): Uint8Array {
  const head = new Uint8Array(FRAME_HEADER);
  writeU32(head, 0, SKIPPABLE);
  writeU32(head, 4, content.length);
  return concat(head, content);
}

export interface SealedLayout {
  readonly header: Uint8Array;
  /** zstd frames. */
  readonly body: Uint8Array;
  readonly seal: Uint8Array;
  /** All stored bytes before the seal's frame. */
  readonly sealed: Uint8Array;
}

export type Layout =
  | { readonly type: 'ok'; readonly layout: SealedLayout }
  | { readonly type: 'header' | 'seal'; readonly header: Uint8Array | null };

/** Takes a sealed segment apart. `type` else tells which of the two plain frames is not there; views, no copies. */
export function sealedLayout(file: Uint8Array): Layout {
  if (file.length < FRAME_HEADER || readU32(file, 0) !== SKIPPABLE) return { type: 'header', header: null };
  const length = readU32(file, 4);
  const bodyAt = FRAME_HEADER + length;
  if (length > MAX_PLAIN_BYTES || bodyAt > file.length) return { type: 'header', header: null };
  const header = file.subarray(FRAME_HEADER, bodyAt);
  const sealAt = findSeal(file, bodyAt);
  if (sealAt === null) return { type: 'seal', header };
  const seal = file.subarray(sealAt + FRAME_HEADER);
  return { type: 'ok', layout: { header, body: file.subarray(bodyAt, sealAt), seal, sealed: file.subarray(0, sealAt) } };
}

/** From the end: a frame whose length reaches just to the file's end. Its magic holds a control character, so no JSON text can look like one. */
function findSeal(file: Uint8Array, from: number): number | null {
  const first = Math.max(from, file.length - FRAME_HEADER - MAX_SEAL_BYTES);
  for (let at = file.length - FRAME_HEADER; at >= first; at--) {
    if (readU32(file, at) === SKIPPABLE && readU32(file, at + 4) === file.length - at - FRAME_HEADER) return at;
  }
  return null;
}

function readU32(bytes: Uint8Array, at: number): number {
  return (((bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16)) + (bytes[at + 3] ?? 0) * 0x1000000) >>> 0;
}

function writeU32(bytes: Uint8Array, at: number, value: number): void {
  for (let i = 0; i < 4; i++) bytes[at + i] = (value >>> (8 * i)) & 0xff;
}
