/**
 * The kernel's own calls to wait for plain sockets, to read and to write them: what is left of a small message's cost when Node's streams and callbacks
 * around it are not (a third of it). Linux only, and only on the thread that has libuv's default loop.
 */
import { createRequire } from 'node:module';
import { endianness } from 'node:os';
import { isMainThread } from 'node:worker_threads';
import type * as Koffi from 'koffi';

/** Nothing but bytes to read: whatever else happens to a socket is for Node to find. */
const EPOLLIN = 1;
/** Such an event is told once, and taking it would take it from libuv. */
const EPOLLET = 0x8000_0000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MAX_EVENTS = 64;
/** Of what is read here: more than this at once is no small message. */
export const READ_BYTES = 16 * 1024;
interface Calls {
  epollWait(poll: number, events: number, max: number, timeoutMs: number): number;
  recv(fd: number, address: number, length: number, flags: number): number;
  send(fd: number, bytes: Uint8Array, length: number, flags: number): number;
  defaultLoop(): bigint;
  backendFd(loop: bigint): number;
  backendTimeout(loop: bigint): number;
  address(bytes: Uint8Array): number;
  open(path: string, flags: number): number;
  read(fd: number, address: number, length: number): number;
  close(fd: number): number;
}

let calls: Calls | null | undefined;

function callsOrNull(): Calls | null {
  calls ??= load();
  return calls;
}

function load(): Calls | null {
  if (process.platform !== 'linux' || !isMainThread || endianness() !== 'LE') return null;
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof Koffi;
    const library = koffi.load(null);
    return {
      epollWait: library.func('int epoll_wait(int poll, uintptr_t events, int max, int timeout)'),
      recv: library.func('int64_t recv(int fd, uintptr_t bytes, int64_t length, int flags)'),
      send: library.func('int64_t send(int fd, const uint8_t *bytes, int64_t length, int flags)'),
      defaultLoop: library.func('void *uv_default_loop()'),
      backendFd: library.func('int uv_backend_fd(void *loop)'),
      backendTimeout: library.func('int uv_backend_timeout(void *loop)'),
      open: library.func('int open(const char *path, int flags)'),
      read: library.func('int64_t read(int fd, uintptr_t bytes, int64_t length)'),
      close: library.func('int close(int fd)'),
      address: (bytes) => Number(koffi.address(bytes)),
    };
  } catch {
    // Native code that is not there, or may not be loaded.
    return null;
  }
}

/** Writes without waiting. Bytes that the kernel took; 0 where it took none, for whatever reason. Null where there is no such call. */
export function sender(fd: number): ((bytes: Uint8Array) => number) | null {
  const call = callsOrNull();
  if (call === null) return null;
  return (bytes) => Math.max(0, call.send(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL));
}

/** libuv's own descriptors, waited for from within one of its callbacks. What is not taken here libuv is told again. */
export class LoopPoll {
  readonly #calls: Calls;
  readonly #loop: bigint;
  readonly #poll: number;
  /** `struct epoll_event` is packed on x86-64 alone. */
  readonly #stride = process.arch === 'x64' ? 3 : 4;
  readonly #events = new Uint32Array(MAX_EVENTS * 4);
  readonly #eventsAt: number;
  #bytes = Buffer.allocUnsafeSlow(READ_BYTES);
  #bytesAt: number;

  /** Null where this platform has no such thing, or where libuv uses it in another way than is known here. */
  static open(): LoopPoll | null {
    const found = callsOrNull();
    if (found === null) return null;
    const opened = new LoopPoll(found);
    return toldAgain(found, opened.#poll) ? opened : null;
  }

  private constructor(found: Calls) {
    this.#calls = found;
    this.#loop = found.defaultLoop();
    this.#poll = found.backendFd(this.#loop);
    // Addresses, not arrays: cheaper for each call. Both are kept for as long as this is.
    this.#eventsAt = found.address(new Uint8Array(this.#events.buffer));
    this.#bytesAt = found.address(this.#bytes);
  }

  /** How long libuv would wait now, in milliseconds; 0 where it has something to do, -1 for ever. */
  loopTimeoutMs(): number {
    return this.#calls.backendTimeout(this.#loop);
  }

  /** How many descriptors have something; they are asked for with `at`. */
  wait(timeoutMs: number): number {
    return this.#calls.epollWait(this.#poll, this.#eventsAt, MAX_EVENTS, timeoutMs);
  }

  /** The descriptor at that place. */
  at(index: number): number {
    return this.#events[(index + 1) * this.#stride - 2] as number;
  }

  /** It has bytes, and nothing else. */
  isReadable(index: number): boolean {
    return this.#events[index * this.#stride] === EPOLLIN;
  }

  /** What was read last. */
  get bytes(): Buffer {
    return this.#bytes;
  }

  /** What was read last stays as it is; the next goes elsewhere. */
  renew(): void {
    this.#bytes = Buffer.allocUnsafeSlow(READ_BYTES);
    this.#bytesAt = this.#calls.address(this.#bytes);
  }

  /** Reads into `bytes`, without waiting. How many; 0 at the end, less where nothing can be read. */
  read(fd: number): number {
    return this.#calls.recv(fd, this.#bytesAt, READ_BYTES, MSG_DONTWAIT);
  }
}

/**
 * Each descriptor that libuv waits for is named by its own number, and told for as long as it has something. The file is no file of the sidecar's own,
 * so Node's permission model would refuse it.
 */
function toldAgain({ open, read, close, address }: Calls, poll: number): boolean {
  const bytes = Buffer.allocUnsafeSlow(READ_BYTES);
  const fd = open(`/proc/self/fdinfo/${poll}`, 0);
  if (fd < 0) return false;
  const count = read(fd, address(bytes), READ_BYTES);
  close(fd);
  const text = bytes.toString('latin1', 0, Math.max(0, count));
  const entries = [...text.matchAll(/^tfd:\s*(\d+) events:\s*([0-9a-f]+) data:\s*([0-9a-f]+)/gm)];
  return entries.length > 0 && entries.every(([, of, events, data]) => Number(of) === hex(data) && (hex(events) & EPOLLET) === 0);
}

function hex(digits = ''): number {
  return Number.parseInt(digits, 16);
}
