import type { Writable } from 'node:stream';

/** Past this many bytes that wait, lines are dropped and counted: whoever watches must not slow down the data path. */
const MAX_WAITING_BYTES = 1024 * 1024;

export interface LineWriter {
  write(line: string): void;
  /** Writes what waits. */
  flush(): void;
}

/** Collects the lines of one turn of the event loop into one write. */
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
      setImmediate(flush);
    },
    flush,
  };
}
