import { type FSWatcher, readdirSync, statSync, watch } from 'node:fs';
import { join } from 'node:path';

export interface WatchOptions {
  /** Folders to be told of at once where the system can; polling sees the rest. */
  readonly folders: readonly string[];
  /** Path to something that changes when the file does. Called often; must not throw. */
  readonly look: () => ReadonlyMap<string, string>;
  /** Called once what `look` sees has been still for a moment. */
  readonly onChange: () => void;
  readonly pollMs?: number;
  /** How long a change must rest: an editor's write is often several. */
  readonly settleMs?: number;
  /** How long a file that vanished must stay away: editors rename the old one before they put the new one there. */
  readonly vanishedMs?: number;
  readonly now?: () => number;
}

export interface Watch {
  close(): void;
}

/** Tells of changes within a second: by the system's own events and, because those can be missed on network and container file systems, by looking. */
export function watchFiles(options: WatchOptions): Watch {
  const { pollMs = 300, settleMs = 100, vanishedMs = 350, now = Date.now } = options;
  let settled = options.look();
  let waiting: { readonly seen: ReadonlyMap<string, string>; readonly since: number } | null = null;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  const again = (ms: number) => {
    clearTimeout(timer);
    if (closed) return;
    timer = setTimeout(check, ms);
    timer.unref();
  };
  const check = () => {
    const seen = options.look();
    if (isSame(seen, settled)) {
      waiting = null;
      return again(pollMs);
    }
    if (waiting === null || !isSame(seen, waiting.seen)) {
      waiting = { seen, since: now() };
      return again(settleMs);
    }
    const rest = [...settled.keys()].some((path) => !seen.has(path)) ? vanishedMs : settleMs;
    const still = now() - waiting.since;
    if (still < rest) return again(rest - still);
    settled = seen;
    waiting = null;
    again(pollMs);
    options.onChange();
  };

  const watchers = options.folders.flatMap((folder) => systemWatch(folder, () => again(20)));
  again(pollMs);
  return {
    close() {
      closed = true;
      clearTimeout(timer);
      for (const watcher of watchers) watcher.close();
    },
  };
}

function systemWatch(folder: string, onEvent: () => void): FSWatcher[] {
  try {
    const watcher = watch(folder, { persistent: false }, onEvent);
    // A watcher that fails later is no loss: polling goes on.
    watcher.on('error', () => watcher.close());
    return [watcher];
  } catch {
    return [];
  }
}

function isSame(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  return a.size === b.size && [...a].every(([path, mark]) => b.get(path) === mark);
}

/** Marks of the files of a folder, `depth` folders down, links followed. What can't be read is not there. */
export function marksOf(folder: string, depth: number, wanted: (name: string) => boolean = () => true): Map<string, string> {
  const marks = new Map<string, string>();
  for (const name of namesIn(folder)) {
    const path = join(folder, name);
    const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
    if (stat?.isDirectory() && depth > 0) for (const [inner, mark] of marksOf(path, depth - 1, wanted)) marks.set(inner, mark);
    else if (stat?.isFile() && wanted(name)) marks.set(path, `${stat.ino} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs}`);
  }
  return marks;
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => !name.startsWith('.'));
  } catch {
    return [];
  }
}
