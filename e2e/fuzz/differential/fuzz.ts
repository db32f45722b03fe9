/** Our parser and what we say of statements, against a real server of each major: `npm run fuzz -- --target differential`. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ready } from '#sidecar/mask/postgres/analyse.ts';
import type { Catalog } from '#sidecar/mask/postgres/catalog.ts';
import { loadCatalog } from '#sidecar/mask/postgres/catalog-load.ts';
import { SETUP } from '#sidecar/mask/postgres/catalog-queries.ts';
import { open, statementsOf } from '../../corpora/databases.ts';
import { hasPostgres, type Major, type Postgres, startPostgres } from '../../postgres/server.ts';
import type { ServerFunction } from '../masking/expressions.ts';
import { MORE_SCHEMA } from '../masking/schema.ts';
import { functionsOf } from '../masking/twins.ts';
import { Dice } from '../mutate.ts';
import { Comparison, type Counts } from './compare.ts';
import { HIDDEN_WRITES, WAYS } from './hidden.ts';
import { Oracle } from './server.ts';
import { corpusTexts, Texts } from './texts.ts';

const DATABASE = 'differential';
export interface Bench {
  readonly server: Postgres;
  readonly major: Major;
  readonly catalog: Catalog;
  readonly functions: readonly ServerFunction[];
}

export async function startBench(major: Major): Promise<Bench> {
  await ready();
  const server = await startPostgres({ major, settings: { autovacuum: 'off' } });
  try {
    await server.query(`CREATE DATABASE ${DATABASE}`);
    const client = await open(server, DATABASE);
    const schema = await readFile(join(import.meta.dirname, '../../corpora/pg-corpus-schema.sql'), 'utf8');
    for (const text of [...statementsOf(schema), 'SET ROLE app', ...statementsOf(MORE_SCHEMA), 'RESET ROLE']) await client.query(text);
    for (const text of ['SET ROLE app', ...statementsOf(HIDDEN_WRITES), 'RESET ROLE']) await client.query(text);
    for (const text of SETUP.split('; ')) await client.query(text);
    const asText = { getTypeParser: () => (value: unknown) => value };
    const query = async (sql: string) => (await client.query({ text: sql, rowMode: 'array', types: asText })).rows as (string | null)[][];
    const { catalog } = await loadCatalog(query);
    await client.end();
    return { server, major, catalog, functions: await functionsOf(server, DATABASE) };
  } catch (error: unknown) {
    await server.stop();
    throw error;
  }
}

/** `goesOn` is asked before each text. The ways to hidden writes come first. */
export async function compare(bench: Bench, seed: number, goesOn: () => boolean): Promise<Comparison> {
  const oracle = new Oracle(bench.server.port, DATABASE);
  const comparison = new Comparison(oracle, bench.catalog, bench.major, DATABASE);
  try {
    const texts = new Texts(new Dice(seed), bench.functions, [...WAYS, ...(await corpusTexts())]);
    for (const text of WAYS) await comparison.look(text);
    while (goesOn()) await comparison.look(texts.next());
    return comparison;
  } finally {
    oracle.end();
  }
}

/** How many differed in what matters. */
export async function fuzzDifferential(seed: number, forMs: number): Promise<number> {
  const majors: readonly Major[] = hasPostgres(15) ? [15, 18] : [18];
  let found = 0;
  for (const major of majors) {
    const bench = await startBench(major);
    try {
      const deadline = Date.now() + forMs / majors.length;
      const { counts, differences } = await compare(bench, seed, () => Date.now() < deadline);
      process.stdout.write(`differential, PostgreSQL ${major}: ${countsInWords(counts)}, ${differences.length} differences\n`);
      for (const { text, problem } of differences) process.stdout.write(`  ${problem}\n    ${text}\n`);
      found += differences.length;
    } finally {
      await bench.server.stop();
    }
  }
  return found;
}

function countsInWords({ texts, bothTake, bothRefuse, weRefuse, ran, reading }: Counts): string {
  return `${texts} texts, ${bothTake} taken by both, ${bothRefuse} by neither, ${weRefuse} refused by us alone, ${ran} run read only, ${reading} of them called reading`;
}
