import { Transform, type TransformCallback } from 'node:stream';

/**
 * Replaces the service's credential by as many `*`, where a service sends back what it was sent. Lengths stay, so no header has to change. It
 * finds the plain bytes only: what a service encodes is out of reach.
 */
export class CredentialScrubber extends Transform {
  readonly #secret: Buffer;
  #tail: Buffer = Buffer.alloc(0);

  constructor(secret: Buffer) {
    super();
    this.#secret = secret;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const all = scrubbed(this.#tail.length === 0 ? chunk : Buffer.concat([this.#tail, chunk]), this.#secret);
    const keep = beginning(all, this.#secret);
    this.#tail = Buffer.from(all.subarray(all.length - keep));
    done(null, all.subarray(0, all.length - keep));
  }

  override _flush(done: TransformCallback): void {
    done(null, this.#tail);
  }
}

/** A copy where there is something to replace, else the same bytes. */
function scrubbed(bytes: Buffer, secret: Buffer): Buffer {
  let at = bytes.indexOf(secret);
  if (at === -1) return bytes;
  const copy = Buffer.from(bytes);
  for (; at !== -1; at = copy.indexOf(secret, at)) copy.fill(0x2a, at, at + secret.length);
  return copy;
}

/** How many of the last bytes may be the beginning of the secret. */
function beginning(bytes: Buffer, secret: Buffer): number {
  for (let length = Math.min(secret.length - 1, bytes.length); length > 0; length--) {
    if (bytes.compare(secret, 0, length, bytes.length - length) === 0) return length;
  }
  return 0;
}

export function scrubText(text: string, secret: string): string {
  return text.replaceAll(secret, '*'.repeat(secret.length));
}
