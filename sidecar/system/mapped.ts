/**
 * A stretch at the end of a file, as memory. What is put there is in the page cache as after a `write`: it outlives this process however that
 * ends, and fsync brings it to the disk. There is no system call for each line, and a disk that is full is met when the stretch is taken.
 */
import { createRequire } from 'node:module';
import type * as Koffi from 'koffi';

/** No page is larger on the machines that this runs on, and a mapping may begin at any multiple. */
const PAGE_BYTES = 64 * 1024;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
/** Linux 5.14. */
const MADV_POPULATE_WRITE = 23;

interface Calls {
  fallocate(fd: number, mode: number, offset: number, length: number): number;
  mmap(address: null, length: number, protection: number, flags: number, fd: number, offset: number): bigint;
  munmap(address: bigint, length: number): number;
  madvise(address: bigint, length: number, advice: number): number;
  view(address: bigint, length: number): ArrayBuffer;
}

let loaded: Calls | null | undefined;

export class MappedStretch {
  /** Offset in the file. */
  readonly from: number;
  readonly #address: bigint;
  readonly #calls: Calls;
  #bytes: Buffer;

  /**
   * Room for `length` bytes from the offset `at` on, which the file is made longer for: zeros, until they are written over. The file must be
   * open for reading and writing, and nobody may make it shorter before `end`. Null where there is no such room or no such call; the file
   * may be longer then all the same.
   */
  static of(fd: number, at: number, length: number): MappedStretch | null {
    loaded ??= load();
    if (loaded === null) return null;
    const from = at - (at % PAGE_BYTES);
    const size = at - from + length;
    if (loaded.fallocate(fd, 0, at, length) !== 0) return null;
    const address = loaded.mmap(null, size, PROT_READ_WRITE, MAP_SHARED, fd, from);
    if (BigInt.asIntN(64, address) === -1n) return null;
    // All pages at once: a fault for each would cost far more. An older kernel does not know it, and then they come one by one.
    loaded.madvise(address, size, MADV_POPULATE_WRITE);
    return new MappedStretch(loaded, address, from, size);
  }

  private constructor(calls: Calls, address: bigint, from: number, size: number) {
    this.#calls = calls;
    this.#address = address;
    this.from = from;
    this.#bytes = Buffer.from(calls.view(address, size));
  }

  /** Puts the text in UTF-8 at that offset in the file. Returns its bytes. Null, and nothing is done, where there may not be room. */
  write(at: number, text: string): number | null {
    const index = at - this.from;
    return text.length * 3 > this.#bytes.length - index ? null : this.#bytes.write(text, index, 'utf8');
  }

  /** The same with bytes, from `start` to `end`. */
  put(at: number, bytes: Buffer, start: number, end: number): number | null {
    const index = at - this.from;
    return end - start > this.#bytes.length - index ? null : bytes.copy(this.#bytes, index, start, end);
  }

  /** Gives the memory back. What was put there stays in the file. */
  end(): void {
    const { length } = this.#bytes;
    if (length === 0) return;
    this.#bytes = Buffer.alloc(0);
    this.#calls.munmap(this.#address, length);
  }
}

function load(): Calls | null {
  if (process.platform !== 'linux') return null;
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof Koffi;
    const library = koffi.load(null);
    return {
      fallocate: library.func('int fallocate(int fd, int mode, int64_t offset, int64_t length)'),
      mmap: library.func('void *mmap(void *address, size_t length, int protection, int flags, int fd, int64_t offset)'),
      munmap: library.func('int munmap(void *address, size_t length)'),
      madvise: library.func('int madvise(void *address, size_t length, int advice)'),
      view: (address, length) => koffi.view(address, length),
    };
  } catch {
    // Native code that is not there, or may not be loaded.
    return null;
  }
}
