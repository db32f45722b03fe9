import type { Writable } from 'node:stream';

/** Past this many bytes that wait, lines are dropped and counted: whoever watches must not slow down the data path. */
const MAX_WAITING_BYTES = 1024 * 1024;
/** The same for lines of the moment, which have no text yet. */
const MAX_WAITING_LINES = 20_000;

/** Short enough for who watches, long enough that many commands share one write. */
const GATHER_MS = 20;

export interface LineWriter<T> {
  write(item: T): void;
  /** Writes what waits. */
  flush(): void;
}

/** Collects the lines of a moment into one write. Their text is made then, too: many at once cost less, and no command waits for it. */
export function lineWriter<T>(stream: Writable, textOf: (item: T) => string): LineWriter<T> {
  let waiting: T[] = [];
  let scheduled = false;
  let dropped = 0;
  const flush = () => {
    scheduled = false;
    let text = '';
    for (const item of waiting) text += textOf(item);
    waiting = [];
    if (text !== '') stream.write(dropped > 0 ? `${text}(${dropped} lines were dropped)\n` : text);
    dropped = 0;
  };
  return {
    write(item) {
      if (waiting.length >= MAX_WAITING_LINES || stream.writableLength > MAX_WAITING_BYTES) {
        dropped += 1;
        return;
      }
      waiting.push(item);
      if (scheduled) return;
      scheduled = true;
      setTimeout(flush, GATHER_MS);
    },
    flush,
  };
}
