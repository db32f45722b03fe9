import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { hasPostgres } from '../../postgres/server.ts';
import { compare, startBench } from './fuzz.ts';

const TEXTS = 120;
/** Under load there may be time for fewer. */
const LIMIT_MS = 40_000;

for (const major of [15, 18] as const) {
  describe(`our reading of SQL, and that of PostgreSQL ${major}`, { skip: hasPostgres(major) ? false : 'it is not installed' }, () => {
    test('the same texts are taken, with as many statements of the same kinds, and what we call reading does not write', async () => {
      const bench = await startBench(major);
      try {
        const deadline = Date.now() + LIMIT_MS;
        let left = TEXTS;
        const { counts, differences } = await compare(bench, 5, () => left-- > 0 && Date.now() < deadline);
        assert.deepEqual(differences, []);
        assert.ok(counts.bothTake > counts.texts / 3 && counts.reading > 0 && counts.weRefuse < counts.texts / 10, JSON.stringify(counts));
      } finally {
        await bench.server.stop();
      }
    });
  });
}
