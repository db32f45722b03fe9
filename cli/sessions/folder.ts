import { lstatSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { type SessionPlace, sessionFolder, storedFile } from '#crds/record/format.ts';
import { MAX_SEGMENT_BYTES } from '#crds/record/segment.ts';
import type { StoredLedger } from '#crds/record/verify-ledger.ts';
import type { StoredSegment } from '#crds/record/verify-segment.ts';

/** All ledgers are read whole, one at a time. */
const MAX_LEDGER_BYTES = 1024 * 1024 * 1024;

export interface StoredSession {
  readonly place: SessionPlace;
  readonly segments: readonly StoredSegment[];
}

/** All files of a `recordings` folder, by what their paths say. Nothing is read yet. */
export interface RecordingsFolder {
  readonly dir: string;
  readonly sessions: readonly StoredSession[];
  readonly ledgers: readonly StoredLedger[];
  /** Below `dir`; also links, and what is no plain file. */
  readonly unknown: readonly string[];
}

/** Takes a `recordings` folder, or a state folder that has one. Throws where it can't be read. */
export function openFolder(dir: string): RecordingsFolder {
  if (!isFolder(dir)) throw new Error(`${dir} is not a folder`);
  const top = hasRecordings(dir) || !isFolder(join(dir, 'recordings')) ? dir : join(dir, 'recordings');
  const sessions = new Map<string, { place: SessionPlace; segments: StoredSegment[] }>();
  const ledgers: StoredLedger[] = [];
  const unknown: string[] = [];
  for (const path of filesBelow(top)) {
    const file = relative(top, path.name).split(sep).join('/');
    const stored = path.plain ? storedFile(file) : ({ type: 'unknown' } as const);
    switch (stored.type) {
      case 'segment': {
        const folder = sessionFolder(stored.place);
        const session = sessions.get(folder) ?? { place: stored.place, segments: [] };
        session.segments.push({
          file,
          segment: stored.segment,
          state: stored.state,
          read: () => readBounded(path.name, MAX_SEGMENT_BYTES),
        });
        sessions.set(folder, session);
        break;
      }
      case 'ledger':
        ledgers.push({ file, recorder: stored.recorder, read: () => readBounded(path.name, MAX_LEDGER_BYTES) });
        break;
      case 'unknown':
        unknown.push(file);
        break;
      default:
        throw stored satisfies never;
    }
  }
  return { dir: top, sessions: [...sessions.values()], ledgers, unknown };
}

/** What has recordings is taken for the folder of them, so that one put inside it can't stand in for it. */
function hasRecordings(dir: string): boolean {
  return readdirSync(dir).some((name) => name === 'ledger' || name.startsWith('date='));
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Sorted. Links are not followed: a recorder makes none. */
function* filesBelow(folder: string): Generator<{ readonly name: string; readonly plain: boolean }> {
  const entries = readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    const name = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesBelow(name);
    else yield { name, plain: entry.isFile() };
  }
}

function readBounded(path: string, maxBytes: number): Uint8Array | 'Unreadable' | 'TooLarge' {
  try {
    return lstatSync(path).size > maxBytes ? 'TooLarge' : readFileSync(path);
  } catch {
    return 'Unreadable';
  }
}
