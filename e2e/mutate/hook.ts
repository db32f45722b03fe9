/** Runs in the process of the tests, before them. */
import { writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { enableCompileCache, registerHooks } from 'node:module';

/** The file of that URL has another source. */
export function swap(url: string, source: string): void {
  enableCompileCache();
  registerHooks({
    load: (asked, context, nextLoad) => {
      const loaded = nextLoad(asked, context);
      return asked === url ? { ...loaded, source } : loaded;
    },
  });
}

export interface Range {
  readonly start: number;
  readonly end: number;
  readonly run: boolean;
}

/** What was run of the files of these URLs is written to `to` when the process ends. */
export function observe(urls: readonly string[], to: string): void {
  enableCompileCache();
  const wanted = new Set(urls);
  const session = new Session();
  session.connect();
  session.post('Profiler.enable');
  session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  process.on('exit', () => {
    session.post('Profiler.takePreciseCoverage', (error, answer) => {
      if (error !== null) return;
      const ranges: Record<string, Range[]> = {};
      for (const { url, functions } of answer.result) {
        if (!wanted.has(url)) continue;
        ranges[url] = functions.flatMap((of) =>
          of.ranges.map(({ startOffset, endOffset, count }) => ({ start: startOffset, end: endOffset, run: count > 0 })),
        );
      }
      writeFileSync(to, JSON.stringify(ranges));
    });
  });
}
