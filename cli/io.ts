import type { Readable, Writable } from 'node:stream';

/** All that a command has of the world outside; main.ts makes it from the process. */
export interface Io {
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Whether each is a terminal that shows colours. */
  readonly color: { readonly stdout: boolean; readonly stderr: boolean };
  readonly now: () => number;
  /** Called with each SIGTERM and SIGINT. */
  onStop(listener: () => void): void;
}

/** Reads to the end; more than `maxBytes` rejects. */
export async function readAll(stream: Readable, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream as AsyncIterable<Buffer | string>) {
    const bytes = Buffer.from(chunk);
    size += bytes.length;
    if (size > maxBytes) throw new RangeError(`more than ${maxBytes} bytes`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString('utf8');
}
