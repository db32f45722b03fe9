/**
 * A copy of a resource that follows the cluster: list, then watch with bookmarks, for ever. A connection that breaks is opened again with a growing
 * pause; one that is silent for longer than the server's bookmarks come is taken for dead; a resourceVersion that is too old means a new list; and
 * every ten minutes everything is listed again, so that whatever went wrong mends itself. The copy stays while the server is away.
 */
import { type BackoffLimits, backoffMs, pause } from './backoff.ts';
import type { WatchEvent } from './client.ts';
import { isKubeError, KubeError } from './error.ts';
import type { KubeObject } from './resource.ts';
import type { Source } from './source.ts';

export type Change<T> =
  | { readonly type: 'Set'; readonly key: string; readonly object: T }
  | { readonly type: 'Removed'; readonly key: string; readonly object: T };

/** What health, metrics and logs want to know. Ages are of the process's own clock. */
export interface WatchState {
  readonly name: string;
  /** Has listed once. */
  readonly synced: boolean;
  readonly connected: boolean;
  /** Since the server last said anything: an event, a bookmark, a list. Infinity where it never did. */
  readonly lastEventAgeMs: number;
  /** Since anything happened at all: a word of the server's, or a try to reach it. */
  readonly lastTryAgeMs: number;
  readonly restarts: number;
  readonly relists: number;
  readonly handlerErrors: number;
  readonly objects: number;
}

export interface WatchTimes {
  /** The API server sends a bookmark about every minute. */
  readonly silentMs: number;
  readonly relistMs: number;
  readonly backoff: BackoffLimits;
}

export interface WatchLog {
  warn(fields: object, message: string): void;
}

export interface Watch<T> {
  readonly name: string;
  get(key: string): T | undefined;
  values(): IterableIterator<T>;
  state(): WatchState;
  /** All changes up to this resourceVersion are in the copy; null before the first list. */
  readonly reached: string | null;
  /** Called after each word of the server's, when it is in the copy. Returns the way to stop. */
  onProgress(listener: () => void): () => void;
  /** The connection is given up and everything listed again: somebody has found that the copy is behind. */
  relist(): void;
  /** Resolves when the first list is in; also when it was stopped before. */
  readonly synced: Promise<void>;
  stop(): Promise<void>;
}

export interface WatchOptions<T> {
  readonly source: Source<T>;
  /** What it throws is counted and told, and the watch goes on. */
  readonly onChange: (change: Change<T>) => void;
  readonly log: WatchLog;
  /** What is kept of an object: less memory. */
  readonly prune?: (object: T) => T;
  readonly times?: Partial<WatchTimes>;
}

const TIMES: WatchTimes = { silentMs: 150_000, relistMs: 600_000, backoff: { firstMs: 200, maxMs: 10_000 } };
/** A watch that ends sooner than this, however politely, is a failure: else a broken proxy makes us ask all the time. */
const SHORT_MS = 1_000;

/** `namespace/name`. */
export function keyOf({ metadata: { namespace, name } }: KubeObject): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

export function startWatch<T extends KubeObject>(options: WatchOptions<T>): Watch<T> {
  const watch = new RunningWatch(options);
  watch.start();
  return watch;
}

class RunningWatch<T extends KubeObject> implements Watch<T> {
  readonly name: string;
  readonly synced: Promise<void>;
  readonly #options: WatchOptions<T>;
  readonly #times: WatchTimes;
  readonly #objects = new Map<string, T>();
  readonly #stop = new AbortController();
  #markSynced!: () => void;
  #isSynced = false;
  #connected = false;
  #lastEventAt = Number.NEGATIVE_INFINITY;
  #triedAt = performance.now();
  #listedAt = Number.NEGATIVE_INFINITY;
  #resourceVersion: string | null = null;
  #reached: string | null = null;
  #cut: AbortController | null = null;
  readonly #progress = new Set<() => void>();
  #restarts = 0;
  #relists = 0;
  #handlerErrors = 0;
  #failures = 0;
  #silence: NodeJS.Timeout | null = null;
  #running: Promise<void> = Promise.resolve();

  constructor(options: WatchOptions<T>) {
    this.name = options.source.name;
    this.#options = options;
    this.#times = { ...TIMES, ...options.times };
    this.synced = new Promise((resolve) => {
      this.#markSynced = resolve;
    });
  }

  start(): void {
    this.#running = this.#run();
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  values(): IterableIterator<T> {
    return this.#objects.values();
  }

  state(): WatchState {
    return {
      name: this.name,
      synced: this.#isSynced,
      connected: this.#connected,
      lastEventAgeMs: performance.now() - this.#lastEventAt,
      lastTryAgeMs: performance.now() - Math.max(this.#lastEventAt, this.#triedAt),
      restarts: this.#restarts,
      relists: this.#relists,
      handlerErrors: this.#handlerErrors,
      objects: this.#objects.size,
    };
  }

  get reached(): string | null {
    return this.#reached;
  }

  onProgress(listener: () => void): () => void {
    this.#progress.add(listener);
    return () => this.#progress.delete(listener);
  }

  relist(): void {
    this.#resourceVersion = null;
    this.#cut?.abort('relist');
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    this.#markSynced();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const startedAt = performance.now();
      try {
        await this.#once();
        this.#failures = performance.now() - startedAt < SHORT_MS ? this.#failures + 1 : 0;
      } catch (error: unknown) {
        if (signal.aborted) break;
        this.#failed(error);
      }
      await pause(backoffMs(this.#failures, this.#times.backoff), signal);
    }
  }

  /** One connection: from its start to its end, or until it is silent or old. */
  async #once(): Promise<void> {
    this.#triedAt = performance.now();
    const cut = new AbortController();
    this.#cut = cut;
    const signal = AbortSignal.any([this.#stop.signal, cut.signal]);
    if (performance.now() - this.#listedAt >= this.#times.relistMs) this.#resourceVersion = null;
    const relist = setTimeout(() => cut.abort('relist'), this.#times.relistMs);
    this.#silence = setTimeout(() => cut.abort('silent'), this.#times.silentMs);
    try {
      const { items, resourceVersion, events } = await this.#options.source.start(this.#resourceVersion, signal);
      this.#resourceVersion = resourceVersion;
      this.#connected = true;
      if (items !== null) {
        this.#replace(items);
        this.#reached = resourceVersion;
      }
      this.#heard();
      this.#tellProgress();
      for await (const event of events) {
        this.#heard();
        this.#failures = 0;
        this.#apply(event);
        this.#tellProgress();
      }
    } catch (error: unknown) {
      if (cut.signal.reason === 'silent') throw new KubeError('Unavailable', `watch of ${this.name}: silent for too long`);
      if (cut.signal.reason !== 'relist') throw error;
      this.#resourceVersion = null;
    } finally {
      this.#connected = false;
      clearTimeout(relist);
      clearTimeout(this.#silence);
      cut.abort();
    }
  }

  #heard(): void {
    this.#lastEventAt = performance.now();
    this.#silence?.refresh();
  }

  #failed(error: unknown): void {
    this.#restarts++;
    // Too old to go on from: that is no failure of the server's, so the list comes at once.
    const gone = isKubeError(error, 'Gone');
    this.#failures = gone ? Math.max(1, this.#failures) : this.#failures + 1;
    if (gone) this.#resourceVersion = null;
    const why = error instanceof Error ? error.message : 'unknown';
    this.#options.log.warn({ watch: this.name, failures: this.#failures }, `the watch starts again: ${why}`);
  }

  #apply(event: WatchEvent<T>): void {
    switch (event.type) {
      case 'BOOKMARK':
        this.#sawVersion(event.object);
        return;
      case 'ERROR':
        throw errorOf(event.object, this.name);
      case 'ADDED':
      case 'MODIFIED':
        this.#sawVersion(event.object);
        this.#set(event.object);
        return;
      case 'DELETED':
        this.#sawVersion(event.object);
        this.#remove(keyOf(event.object));
        return;
      default:
        event satisfies never;
    }
  }

  #sawVersion({ metadata }: KubeObject): void {
    if (this.#resourceVersion === null || metadata.resourceVersion === undefined) return;
    this.#resourceVersion = metadata.resourceVersion;
    this.#reached = metadata.resourceVersion;
  }

  #tellProgress(): void {
    for (const listener of [...this.#progress]) listener();
  }

  /** A list is the whole truth: what it does not have is gone. */
  #replace(items: readonly T[]): void {
    const present = new Set(items.map(keyOf));
    for (const key of [...this.#objects.keys()]) if (!present.has(key)) this.#remove(key);
    for (const item of items) this.#set(item);
    if (this.#isSynced) this.#relists++;
    this.#listedAt = performance.now();
    this.#isSynced = true;
    this.#markSynced();
  }

  #set(given: T): void {
    const key = keyOf(given);
    const known = this.#objects.get(key);
    if (known !== undefined && known.metadata.resourceVersion === given.metadata.resourceVersion) return;
    const object = this.#options.prune?.(given) ?? given;
    this.#objects.set(key, object);
    this.#tell({ type: 'Set', key, object });
  }

  #remove(key: string): void {
    const object = this.#objects.get(key);
    if (object === undefined) return;
    this.#objects.delete(key);
    this.#tell({ type: 'Removed', key, object });
  }

  #tell(change: Change<T>): void {
    try {
      this.#options.onChange(change);
    } catch (error: unknown) {
      this.#handlerErrors++;
      const why = error instanceof Error ? error.message : 'unknown';
      this.#options.log.warn({ watch: this.name, object: change.key }, `a change was not handled: ${why}`);
    }
  }
}

/** The object of an ERROR event is a metav1.Status. */
function errorOf(status: unknown, name: string): KubeError {
  const { code, reason, message } = (typeof status === 'object' && status !== null ? status : {}) as Record<string, unknown>;
  const gone = code === 410 || reason === 'Expired' || reason === 'Gone';
  return new KubeError(gone ? 'Gone' : 'Unavailable', `watch of ${name}: ${typeof message === 'string' ? message : 'an error'}`);
}
