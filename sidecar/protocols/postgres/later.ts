/** Long enough for the next statement of a busy session to come first. */
const LATE_MS = 10;
/** What a session may leave undone. */
const MAX_WORKS = 32;

const waiting = new Set<Later>();
let scheduled = false;

/**
 * What a statement leaves to be done when its bytes are on their way: how it ended goes into the recording, and whoever watches is told. The best
 * time is when the next statement has just been sent, and the server works; one timer for all sessions sees to those that say nothing more.
 */
export class Later {
  #works: (() => void)[] = [];
  readonly #failed: (error: unknown) => void;

  /** `failed` takes what a work throws when nobody called for it. */
  constructor(failed: (error: unknown) => void) {
    this.#failed = failed;
  }

  add(work: () => void): void {
    this.#works.push(work);
  }

  /** Does all. Throws what one of them throws; those behind it are not done then. */
  run(): void {
    if (this.#works.length === 0) return;
    const works = this.#works;
    this.#works = [];
    for (const work of works) work();
  }

  /** Does it in a moment, if `run` does not come first; at once where it is much. */
  soon(): void {
    if (this.#works.length === 0) return;
    if (this.#works.length > MAX_WORKS) return this.run();
    waiting.add(this);
    if (scheduled) return;
    scheduled = true;
    setTimeout(runWaiting, LATE_MS).unref();
  }

  #runLate(): void {
    try {
      this.run();
    } catch (error: unknown) {
      this.#failed(error);
    }
  }

  static runLate(later: Later): void {
    later.#runLate();
  }
}

function runWaiting(): void {
  scheduled = false;
  const all = [...waiting];
  waiting.clear();
  for (const later of all) Later.runLate(later);
}
