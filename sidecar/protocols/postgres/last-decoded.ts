/** A message longer than this is not kept. */
const MAX_BYTES = 4096;

/** What was read from the last message of a type. Most are byte for byte the one before, and comparing costs less than reading. */
export class LastDecoded<T> {
  readonly #decode: (buffer: Buffer, start: number, end: number) => T;
  #last: { readonly bytes: Buffer; readonly value: T } | null = null;

  constructor(decode: (buffer: Buffer, start: number, end: number) => T) {
    this.#decode = decode;
  }

  /** Throws what `decode` throws. The value may be shared with other messages of the same bytes. */
  of(buffer: Buffer, start: number, end: number): T {
    const last = this.#last;
    if (last !== null && isSame(last.bytes, buffer, start, end)) return last.value;
    const value = this.#decode(buffer, start, end);
    this.#last = end - start <= MAX_BYTES ? { bytes: Buffer.from(buffer.subarray(start, end)), value } : null;
    return value;
  }
}

/** Past this a call into native code costs less. */
const SHORT_BYTES = 256;

function isSame(bytes: Buffer, buffer: Buffer, start: number, end: number): boolean {
  const { length } = bytes;
  if (length !== end - start) return false;
  if (length > SHORT_BYTES) return bytes.compare(buffer, start, end) === 0;
  for (let i = 0; i < length; i++) if (bytes[i] !== buffer[start + i]) return false;
  return true;
}
