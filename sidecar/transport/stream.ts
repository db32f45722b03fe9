/** What a byte stream calls. After `closed` it calls nothing. */
export interface StreamHandlers {
  /**
   * `chunk` is lent: it may be overwritten once this returns, so copy what is kept. Bytes of it that are given to any
   * ByteStream's `write` within the call are safe.
   */
  data(chunk: Buffer): void;
  /** Everything written has left: after `write` gave false. It may also come when nobody waits. */
  drained(): void;
  /** The peer will send no more. Writing still works. */
  ended(): void;
  /** The last call. `error` is null where both sides ended in peace. */
  closed(error: Error | null): void;
}

/** What moves bytes: the seam behind which Node's sockets can be changed for another loop. */
export interface ByteStream {
  /** Begins to read, or hands reading over to other handlers. Nothing is read before. */
  start(handlers: StreamHandlers): void;
  /** No `data` until `resume`. Pausing within `data` is fine. */
  pause(): void;
  resume(): void;
  /** False where the writer should wait for `drained`. The bytes may not be changed until they have left, unless they are of a lent chunk. */
  write(bytes: Uint8Array): boolean;
  /** Sends what was written, then FIN. */
  end(): void;
  destroy(): void;
  /** Written and not yet taken by the kernel or TLS, in bytes. */
  readonly pending: number;
  readonly destroyed: boolean;
  /** False where each chunk is one of its own: then it may be kept. */
  readonly lends: boolean;
}
