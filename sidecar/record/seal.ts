import { createHash } from 'node:crypto';
import { open, readFile, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { constants, zstdCompress } from 'node:zlib';
import { utf8, withLastMember } from '#crds/record/bytes.ts';
import { FORMAT_VERSION, SEGMENT_DOMAIN, type Seal } from '#crds/record/format.ts';
import { skippableFrame } from '#crds/record/frames.ts';
import { syncData } from '../system/fsync.ts';
import type { RecordingKeys } from './keys.ts';
import type { Ledger } from './ledger.ts';
import type { FinishedSegment } from './segment-file.ts';

const compress = promisify(zstdCompress);
/** Event lines get no smaller with a higher level, and cost twice as much and more. */
const PARAMS = { [constants.ZSTD_c_compressionLevel]: 1, [constants.ZSTD_c_checksumFlag]: 1 };
const HASH_SLICE_BYTES = 1024 * 1024;

export interface Sealer {
  readonly ledger: Ledger;
  readonly keys: RecordingKeys;
  /** What proves the key now, for headers. */
  readonly certificates: () => readonly string[];
  readonly clock: () => number;
  /** Same file system as the recordings, outside of them. */
  readonly temporary: string;
}

/**
 * Compresses, signs and stores a finished segment, tells the ledger, and removes the open file: in this order, so that a process that dies
 * between any two steps leaves what the next start can finish. Returns the SHA-256 of the stored file. Rejects with what went wrong.
 */
export async function sealSegment(
  sealer: Sealer,
  segment: FinishedSegment,
  previousFile: string | null,
  how: { readonly recovered: boolean; readonly sync: boolean },
): Promise<string> {
  const plain = (await readFile(segment.openFile)).subarray(0, segment.bytes);
  if (plain.length < segment.bytes) throw new Error(`${segment.openFile} is shorter than what was written to it`);
  const header = skippableFrame(plain.subarray(0, segment.headerBytes - 1));
  const body = await compress(plain.subarray(segment.headerBytes), { params: PARAMS });
  const sha256 = await hashOf([header, body]);
  const seal = skippableFrame(sealOf(sealer, segment, { sha256, previousFile, recovered: how.recovered }));
  const stored = await hashOf([header, body, seal]);
  const temporary = join(sealer.temporary, `${segment.place.session}-${segment.segment}`);
  await writeParts(temporary, [header, body, seal], how.sync);
  await rename(temporary, segment.sealedFile);
  const { session } = segment.place;
  sealer.ledger.append({ type: 'segment', session, segment: segment.segment, sha256: stored, lastSeq: segment.lastSeq });
  if (how.sync) await sealer.ledger.durable();
  await unlink(segment.openFile);
  return stored;
}

function sealOf(
  sealer: Sealer,
  segment: FinishedSegment,
  what: { readonly sha256: string; readonly previousFile: string | null; readonly recovered: boolean },
): Uint8Array {
  const seal: Omit<Seal, 'signature'> = {
    v: FORMAT_VERSION,
    sha256: what.sha256,
    previous: what.previousFile,
    events: segment.events,
    lastSeq: segment.lastSeq,
    head: segment.head,
    sealed: new Date(sealer.clock()).toISOString(),
    recorder: sealer.ledger.recorder,
    recovered: what.recovered,
    keyId: sealer.keys.keyId,
  };
  const body = JSON.stringify(seal);
  return utf8(withLastMember(body, 'signature', sealer.keys.sign(SEGMENT_DOMAIN + body.slice(0, -1))));
}

/** In slices, so that a large segment never holds up the sessions that are served. */
async function hashOf(parts: readonly Uint8Array[]): Promise<string> {
  const hash = createHash('sha256');
  for (const part of parts) {
    for (let at = 0; at < part.length; at += HASH_SLICE_BYTES) {
      hash.update(part.subarray(at, at + HASH_SLICE_BYTES));
      if (part.length > HASH_SLICE_BYTES) await new Promise((resolve) => setImmediate(resolve));
    }
  }
  return hash.digest('hex');
}

async function writeParts(file: string, parts: readonly Uint8Array[], sync: boolean): Promise<void> {
  const handle = await open(file, 'w', 0o600);
  try {
    for (const part of parts) await handle.writeFile(part);
    if (sync) await syncData(handle.fd);
  } finally {
    await handle.close();
  }
}
