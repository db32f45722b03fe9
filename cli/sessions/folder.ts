import { lstatSync, readdirSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import type { StoredBytes } from '#crds/record/verify-segment.ts';
import { type StoredPath, type StoredRecordings, sortOut } from './stored.ts';

/** Takes a `recordings` folder, or a state folder that has one, or a copy of a bucket. Throws where it can't be read. */
export function openFolder(dir: string): StoredRecordings {
  if (!isFolder(dir)) throw new Error(`${dir} is not a folder`);
  const top = hasRecordings(dir) || !isFolder(join(dir, 'recordings')) ? dir : join(dir, 'recordings');
  return sortOut(top, [...pathsBelow(top, top)]);
}

/** What has recordings is taken for the folder of them, so that one put inside it can't stand in for it. */
function hasRecordings(dir: string): boolean {
  return readdirSync(dir).some((name) => name === 'ledger' || name === 'heads' || name.startsWith('date='));
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Sorted. Links are not followed: a recorder makes none. */
function* pathsBelow(folder: string, top: string): Generator<StoredPath> {
  const entries = readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    const name = join(folder, entry.name);
    if (entry.isDirectory()) yield* pathsBelow(name, top);
    else
      yield {
        file: relative(top, name).split(sep).join('/'),
        plain: entry.isFile(),
        read: (maxBytes) => readBounded(name, maxBytes),
      };
  }
}

async function readBounded(path: string, maxBytes: number): Promise<StoredBytes> {
  try {
    return lstatSync(path).size > maxBytes ? 'TooLarge' : await readFile(path);
  } catch {
    return 'Unreadable';
  }
}
