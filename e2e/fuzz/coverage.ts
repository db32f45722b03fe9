/** What was run of our own code, by V8's precise coverage: by blocks. */
import { Session } from 'node:inspector/promises';

const OURS = /\/(sidecar|crds)\/(?!.*(\/gen\/|\.test\.ts))/;

export class Coverage {
  readonly #session = new Session();
  readonly #seen = new Set<string>();

  async start(): Promise<void> {
    this.#session.connect();
    await this.#session.post('Profiler.enable');
    await this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** What was run since the last call and never before it. It is slow: once for many runs. */
  async fresh(): Promise<ReadonlySet<string>> {
    return new Set((await this.#taken()).filter((block) => !this.#seen.has(block)));
  }

  /** Which of `blocks` were run since the last call. */
  async among(blocks: ReadonlySet<string>): Promise<ReadonlySet<string>> {
    return new Set((await this.#taken()).filter((block) => blocks.has(block)));
  }

  keep(blocks: ReadonlySet<string>): void {
    for (const block of blocks) this.#seen.add(block);
  }

  async #taken(): Promise<string[]> {
    const { result } = await this.#session.post('Profiler.takePreciseCoverage');
    return result
      .filter(({ url }) => OURS.test(url))
      .flatMap(({ url, functions }) =>
        functions.flatMap(({ ranges }) =>
          ranges.filter(({ count }) => count > 0).map(({ startOffset, endOffset }) => `${url}:${startOffset}:${endOffset}`),
        ),
      );
  }

  get size(): number {
    return this.#seen.size;
  }

  stop(): void {
    this.#session.disconnect();
  }
}
