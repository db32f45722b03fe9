import type { Writable } from 'node:stream';

/** Past this many bytes that wait, lines are dropped and counted: whoever watches must not slow down the data path. */
const MAX_WAITING_BYTES = 1024 * 1024;

/** Short enough for who watches, long enough that many commands share one write. */
const GATHER_MS = 20;

export interface LineWriter {
  write(line: string): void;
  /** Writes what waits. */
  flush(): void;
}

/** Collects the lines of a moment into one write. */
export function lineWriter(stream: Writable): LineWriter {
  let waiting: string[] = [];
  let scheduled = false;
  let dropped = 0;
  const flush = () => {
    scheduled = false;
    const text = waiting.join('');
    waiting = [];
    if (text !== '') stream.write(dropped > 0 ? `${text}(${dropped} lines were dropped)\n` : text);
    dropped = 0;
  };
  return {
    write(line) {
      if (stream.writableLength > MAX_WAITING_BYTES) {
        dropped += 1;
        return;
      }
      waiting.push(line);
      if (scheduled) return;
      scheduled = true;
      setTimeout(flush, GATHER_MS);
    },
    flush,
  };
}
