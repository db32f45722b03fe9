import type { Finding } from '#crds/record/finding.ts';
import { ledgerFile, type SessionPlace, sessionFolder, storedFile } from '#crds/record/format.ts';
import { MAX_SEGMENT_BYTES } from '#crds/record/segment.ts';
import type { StoredHead } from '#crds/record/verify-heads.ts';
import type { StoredLedger } from '#crds/record/verify-ledger.ts';
import type { StoredBytes, StoredSegment } from '#crds/record/verify-segment.ts';

/** All ledgers are read whole, one at a time. */
const MAX_LEDGER_BYTES = 1024 * 1024 * 1024;
const MAX_HEAD_BYTES = 256 * 1024;

export interface StoredSession {
  readonly place: SessionPlace;
  readonly segments: readonly StoredSegment[];
}

/** What lies in a folder or a bucket, by what the paths say. Nothing is read yet. */
export interface StoredRecordings {
  /** The `recordings` folder, or the bucket's URL. */
  readonly where: string;
  readonly sessions: readonly StoredSession[];
  readonly ledgers: readonly StoredLedger[];
  readonly heads: readonly StoredHead[];
  /** Has what only a bucket has: ledgers in pieces, or countersigned heads. Also true of its copy. */
  readonly isBucket: boolean;
  /** What is wrong before anything is read: a file that nobody writes, an object with a second version. */
  readonly findings: readonly Finding[];
}

export interface StoredPath {
  /** Below the top, with `/`. */
  readonly file: string;
  /** False for a link and for what is no plain file. */
  readonly plain: boolean;
  read(maxBytes: number): Promise<StoredBytes>;
}

/** Sorts paths into sessions, ledgers and heads. */
export function sortOut(where: string, paths: readonly StoredPath[], found: readonly Finding[] = []): StoredRecordings {
  const sessions = new Map<string, { place: SessionPlace; segments: StoredSegment[] }>();
  const ledgers = new Map<string, StoredLedger>();
  const chunks = new Map<string, { chunk: number; path: StoredPath }[]>();
  const heads: StoredHead[] = [];
  const findings = [...found];
  for (const path of paths) {
    const { file } = path;
    const stored = path.plain ? storedFile(file) : ({ type: 'unknown' } as const);
    switch (stored.type) {
      case 'segment': {
        const { place, segment, state } = stored;
        const session = sessions.get(sessionFolder(place)) ?? { place, segments: [] };
        session.segments.push({ file, segment, state, read: () => path.read(MAX_SEGMENT_BYTES) });
        sessions.set(sessionFolder(place), session);
        break;
      }
      case 'ledger':
        ledgers.set(stored.recorder, { file, recorder: stored.recorder, read: () => path.read(MAX_LEDGER_BYTES) });
        break;
      case 'ledgerChunk':
        chunks.set(stored.recorder, [...(chunks.get(stored.recorder) ?? []), { chunk: stored.chunk, path }]);
        break;
      case 'head':
        heads.push({ file, recorder: stored.recorder, entries: stored.entries, read: () => path.read(MAX_HEAD_BYTES) });
        break;
      case 'selfCheck':
        break;
      case 'unknown':
        findings.push({ code: 'UnknownFile', severity: 'error', message: 'no recorder writes such a file here', file });
        break;
      default:
        throw stored satisfies never;
    }
  }
  for (const [recorder, pieces] of chunks) {
    if (!ledgers.has(recorder)) ledgers.set(recorder, inPieces(recorder, pieces));
    else findings.push(...pieces.map(({ path }) => beside(path.file)));
  }
  const isBucket = chunks.size > 0 || heads.length > 0;
  return { where, sessions: [...sessions.values()], ledgers: [...ledgers.values()], heads, isBucket, findings };
}

function beside(file: string): Finding {
  return { code: 'UnknownFile', severity: 'error', message: 'a piece of a ledger that is here whole, too', file };
}

/** One after the other, whatever their numbers: a gap shows in the entries' own. */
function inPieces(recorder: string, pieces: readonly { readonly chunk: number; readonly path: StoredPath }[]): StoredLedger {
  const inOrder = pieces.toSorted((a, b) => a.chunk - b.chunk);
  const read = async (): Promise<StoredBytes> => {
    const parts: Uint8Array[] = [];
    let left = MAX_LEDGER_BYTES;
    for (const { path } of inOrder) {
      const bytes = await path.read(left);
      if (typeof bytes === 'string') return bytes;
      parts.push(bytes);
      left -= bytes.length;
    }
    return Buffer.concat(parts);
  };
  return { file: ledgerFile(recorder), recorder, read };
}
