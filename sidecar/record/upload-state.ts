import { readFileSync } from 'node:fs';
import { mkdir, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { NO_HASH } from '#crds/record/format.ts';
import { syncData, writeSynced } from '../system/fsync.ts';

/** A place in a ledger, after a whole entry. */
export interface LedgerMark {
  readonly bytes: number;
  readonly entries: number;
  /** Hash of the last entry. */
  readonly head: string;
}

/** How far one ledger is in the bucket. */
export interface LedgerState {
  readonly v: 1;
  /** Pieces that the bucket has. */
  readonly chunks: number;
  readonly stored: LedgerMark;
  /** Where the piece ends that was begun to be uploaded: it must be tried again with the same bytes. */
  readonly trying: LedgerMark | null;
  /** Entries of the last head that the operator countersigned. */
  readonly signed: number;
}

export const NOTHING_STORED: LedgerState = {
  v: 1,
  chunks: 0,
  stored: { bytes: 0, entries: 0, head: NO_HASH },
  trying: null,
  signed: 0,
};

/** Throws where there is a file that can't be understood. */
export function readState(file: string): LedgerState {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error: unknown) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return NOTHING_STORED;
    throw error;
  }
  const state = JSON.parse(text) as LedgerState;
  if (state.v !== 1) throw new Error(`${file} is of another version`);
  return state;
}

/** On disk when it resolves: what was begun must be known after a power cut, too. */
export async function writeState(file: string, state: LedgerState): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  writeSynced(`${file}.new`, JSON.stringify(state), 0o600);
  await rename(`${file}.new`, file);
  const folder = await open(dirname(file), 'r');
  try {
    await syncData(folder.fd);
  } finally {
    await folder.close();
  }
}
