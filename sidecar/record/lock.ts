import { chmodSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { causeOf, RecordingError } from './error.ts';

/**
 * One live recorder per state folder. SQLite takes a lock of the kernel on an empty file: it falls with the process, however that dies, and
 * holds between containers that share a volume, where a process ID says nothing. Returns the way to let go.
 */
export function takeLock(file: string): () => void {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(file, { timeout: 0 });
    chmodSync(file, 0o600);
    database.exec('PRAGMA journal_mode = MEMORY; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
    const held = database;
    return () => held.close();
  } catch (error: unknown) {
    database?.close();
    const locked = (error as { errcode?: unknown }).errcode === 5;
    throw new RecordingError(
      'Locked',
      locked ? `another recorder is using the state folder (${file} is locked)` : `${file} can't be locked: ${causeOf(error)}`,
    );
  }
}
