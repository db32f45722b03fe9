/** What a process that mostly waits gives back of the memory that its start took. */
import { createRequire } from 'node:module';
import type * as Koffi from 'koffi';

/** Gives freed memory of the C library's back: compiling leaves a good deal of it. Where there is no such call (it is glibc's) nothing is done. */
export function returnFreedMemory(): void {
  if (process.platform !== 'linux') return;
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof Koffi;
    koffi.load(null).func('int malloc_trim(size_t pad)')(0);
  } catch {
    // Then it stays.
  }
}
