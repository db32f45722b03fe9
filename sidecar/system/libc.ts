import { createRequire } from 'node:module';
import type * as Koffi from 'koffi';

/** What Node has no call for. All are thread-safe functions of the C library that take a file descriptor. */
export interface Libc {
  /** Bytes that were written to `value`, or the errno. */
  getsockopt(fd: number, level: number, name: number, value: Buffer): { readonly bytes: number } | { readonly errno: number };
  /** 0, or the errno. */
  fsync(fd: number): number;
  fdatasync(fd: number): Promise<number>;
}

let loaded: Libc | null = null;

/** Loaded at the first use, and only then: it is native code, and most ways to run never need it. Throws where this platform has none. */
export function libc(): Libc {
  loaded ??= load();
  return loaded;
}

function load(): Libc {
  const koffi = createRequire(import.meta.url)('koffi') as typeof Koffi;
  const library = koffi.load(null);
  const getsockopt = library.func('int getsockopt(int fd, int level, int name, _Out_ uint8_t *value, _Inout_ uint32_t *length)');
  const fsync = library.func('int fsync(int fd)');
  const fdatasync = library.func('int fdatasync(int fd)');
  return {
    getsockopt(fd, level, name, value) {
      const length = [value.length];
      return getsockopt(fd, level, name, value, length) === 0 ? { bytes: length[0] ?? 0 } : { errno: koffi.errno() };
    },
    fsync: (fd) => (fsync(fd) === 0 ? 0 : koffi.errno()),
    // On a thread of koffi's, where errno is not ours to read: EIO stands for all.
    fdatasync: (fd) =>
      new Promise((resolve, reject) => {
        fdatasync.async(fd, (error: unknown, result: number) => {
          if (error instanceof Error) reject(error);
          else resolve(result === 0 ? 0 : EIO);
        });
      }),
  };
}

const EIO = 5;
