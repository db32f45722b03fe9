/** Node's permission model refuses every fsync, whatever else it permits: the sidecar in a pod, which runs under it, asks the C library. */
import { closeSync, fdatasync, fsyncSync, openSync, writeFileSync } from 'node:fs';
import { libc } from './libc.ts';

/** Throws with the code of the system where the file can't be synced. */
export function syncNow(fd: number): void {
  if (!isGuarded()) return fsyncSync(fd);
  check(libc().fsync(fd));
}

/** The file's data, off the event loop. Rejects with the code of the system. */
export function syncData(fd: number): Promise<void> {
  if (isGuarded()) return libc().fdatasync(fd).then(check);
  return new Promise((resolve, reject) => {
    fdatasync(fd, (error) => (error === null ? resolve() : reject(error)));
  });
}

/** A file that is on the disk when this returns. */
export function writeSynced(path: string, content: string | Uint8Array, mode: number): void {
  const fd = openSync(path, 'w', mode);
  try {
    writeFileSync(fd, content);
    syncNow(fd);
  } finally {
    closeSync(fd);
  }
}

function isGuarded(): boolean {
  return (process as { readonly permission?: unknown }).permission !== undefined;
}

function check(errno: number): void {
  if (errno !== 0) throw Object.assign(new Error(`fsync failed with errno ${errno}`), { errno, code: 'EIO' });
}
