/**
 * The blocking corpus: one sidecar with a resource for each rule set, all in front of one server. What must be blocked has to be refused by us and
 * to leave nothing behind; what must not be has to answer, and to leave behind, what it does without us.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { answerOf, type BlockingAnswer, type BlockingCase } from './blocking-client.ts';
import { BlockingDatabase } from './blocking-database.ts';
import { RULE_SET_OF, startRuleSets } from './blocking-sidecar.ts';
import { type CaseResult, type CorpusOptions, lacksModule } from './case.ts';

const FILE = 'pg-blocking-corpus.jsonl';

export async function* runBlocking(options: CorpusOptions): AsyncGenerator<CaseResult> {
  const lines = (await readFile(join(options.cases, FILE), 'utf8')).split('\n').filter((line) => line !== '');
  const cases = lines.map((line) => JSON.parse(line) as BlockingCase).filter(({ id }) => options.only === null || options.only.test(id));
  if (cases.length === 0) return;
  const database = await BlockingDatabase.start(options.cases, options.postgres);
  if (database === null) throw new Error(`the blocking cases need PostgreSQL ${options.postgres}: Debian has 15 in postgresql-15`);
  try {
    const sidecar = await startRuleSets(database.server.port);
    try {
      for (const each of cases) {
        const { id, category } = each;
        yield {
          set: 'blocking',
          id,
          category,
          ...(await outcomeOf(database, sidecar.portOf, each)),
        };
      }
    } finally {
      await sidecar.stop();
    }
  } finally {
    await database.stop();
  }
}

async function outcomeOf(...stage: Parameters<typeof problemOf>): Promise<Pick<CaseResult, 'problem' | 'leftOut'>> {
  try {
    return { problem: await problemOf(...stage) };
  } catch (error: unknown) {
    return lacksModule(error) ? { problem: null, leftOut: true } : { problem: `not run: ${String(error)}` };
  }
}

async function problemOf(database: BlockingDatabase, portOf: (rule: string) => number, each: BlockingCase): Promise<string | null> {
  if (RULE_SET_OF[each.rule] === undefined) return `no rule set is called ${each.rule}`;
  try {
    return each.mustBlock
      ? await problemOfBlocked(database, portOf(each.rule), each)
      : await problemOfAllowed(database, portOf(each.rule), each);
  } finally {
    await database.cleanUp(each);
  }
}

/** As a superuser: the server itself would refuse nothing. */
async function problemOfBlocked(database: BlockingDatabase, port: number, each: BlockingCase): Promise<string | null> {
  await database.fresh(each);
  const before = await database.state();
  const answer = await answerOf(port, 'super', each);
  const after = await database.state();
  const changed = Object.keys(after).filter((part) => after[part] !== before[part]);
  if (changed.length > 0) return `it left something behind in ${changed.join(', ')}; answered ${brief(answer)}`;
  const refused = answer.errors.find(({ message }) => message.startsWith('chaperone: '));
  if (refused === undefined) return `not refused: ${brief(answer)}`;
  return refused.code === '42501' ? null : `refused with ${refused.code}`;
}

async function problemOfAllowed(database: BlockingDatabase, port: number, each: BlockingCase): Promise<string | null> {
  await database.fresh(each);
  const direct = await answerOf(database.server.port, 'app', each);
  const left = await database.rows();
  await database.cleanUp(each);
  await database.fresh(each);
  const ours = await answerOf(port, 'app', each);
  if (!isDeepStrictEqual(timeless(ours), timeless(direct))) return `answered ${brief(ours)} instead of ${brief(direct)}`;
  return (await database.rows()) === left ? null : 'it left other rows behind than without us';
}

/** Two runs are not at the same time. */
function timeless(answer: BlockingAnswer): unknown {
  return JSON.parse(JSON.stringify(answer).replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+[+-]\d\d/g, 'now'));
}

function brief(answer: BlockingAnswer): string {
  return JSON.stringify(answer).slice(0, 300);
}
