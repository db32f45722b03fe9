import { writeSync } from 'node:fs';
import type { Socket } from 'node:net';
import { sender } from './poll.ts';

/** What is longer gains nothing: the copy into the kernel outweighs the stream. */
const MAX_BYTES = 16 * 1024;

/** -1 where it has none, or where it can't be seen. */
export function descriptorOf(socket: Socket): number {
  const { _handle: handle } = socket as { readonly _handle?: { readonly fd?: unknown } | null };
  const fd = handle?.fd;
  return typeof fd === 'number' ? fd : -1;
}

/**
 * Writes small messages to a plain socket past its stream: a system call, and no request object, callback or tick around it (a third of what a
 * short write costs). Only while the stream holds nothing back, so that the order stays; what the kernel does not take goes the stream's way,
 * and so does every error.
 */
export class DirectWriter {
  readonly #fd: number;
  readonly #send: ((bytes: Uint8Array) => number) | null;

  /** Null where the socket's descriptor can't be seen: then the stream is all there is. */
  static of(socket: Socket): DirectWriter | null {
    const fd = descriptorOf(socket);
    return fd >= 0 ? new DirectWriter(fd) : null;
  }

  private constructor(fd: number) {
    this.#fd = fd;
    this.#send = sender(fd);
  }

  /** Bytes that the kernel took. The socket must be open, and nothing may wait in it: the descriptor is another's once it is closed. */
  write(bytes: Uint8Array): number {
    if (bytes.length > MAX_BYTES) return 0;
    if (this.#send !== null) return this.#send(bytes);
    try {
      return writeSync(this.#fd, bytes, 0, bytes.length);
    } catch {
      // Full (EAGAIN), or broken: the stream finds out which.
      return 0;
    }
  }
}
