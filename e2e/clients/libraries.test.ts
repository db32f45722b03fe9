/** Libraries and ORMs: the same direct and through a sidecar that allows all, and what they show of a masked column. On both servers. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { hasPostgres } from '#e2e/postgres/server.ts';
import {
  buildGo,
  EVERYTHING_IS_INSTALLED,
  hasGo,
  hasJdbc,
  hasPythonModule,
  type Ran,
  runClient,
  runJava,
  runPython,
  type Target,
} from './programs.ts';
import { type Stage, startStage } from './stage.ts';
import { maskedInDrizzle, workOfDrizzle } from './work-drizzle.ts';
import { maskedInPostgresJs, workOfPostgresJs } from './work-postgresjs.ts';

interface Library {
  readonly name: string;
  /** What the machine lacks for it. */
  readonly missing: string | null;
  readonly atLeastLines: number;
  work(target: Target): Promise<readonly string[]>;
  masked(target: Target): Promise<string>;
}

let folder = '';
let pgx: Promise<string> | null = null;
const builtPgx = () => (pgx ??= buildGo(folder));
const said = ({ code, stdout, stderr }: Ran) => [`exit ${code}`, ...stdout.split('\n'), ...stderr.split('\n')];
const text = (ran: Ran) => said(ran).join('\n');

const python = (name: string, module: string, script: string, atLeastLines: number): Library => ({
  name,
  missing: hasPythonModule(module) ? null : `Debian's python3-${module} is not here`,
  atLeastLines,
  work: async (target) => said(await runPython(script, [], target)),
  masked: async (target) => text(await runPython(script, ['masked'], target)),
});

const LIBRARIES: readonly Library[] = [
  {
    name: 'postgres.js',
    missing: null,
    atLeastLines: 20,
    work: workOfPostgresJs,
    masked: async (target) => JSON.stringify(await maskedInPostgresJs(target)),
  },
  {
    name: 'drizzle',
    missing: null,
    atLeastLines: 12,
    work: workOfDrizzle,
    masked: async (target) => JSON.stringify(await maskedInDrizzle(target)),
  },
  python('SQLAlchemy', 'sqlalchemy', 'work-sqlalchemy.py', 15),
  python('asyncpg', 'asyncpg', 'work-asyncpg.py', 18),
  python('psycopg 3', 'psycopg', 'work-psycopg.py', 18),
  {
    name: 'JDBC',
    missing: hasJdbc() ? null : "Debian's libpostgresql-jdbc-java or a java is not here",
    atLeastLines: 100,
    work: async (target) => said(await runJava([], target)),
    masked: async (target) => text(await runJava(['masked'], target)),
  },
  {
    name: 'pgx',
    missing: hasGo() ? null : 'no go is here',
    atLeastLines: 60,
    work: async (target) => said(await runClient(await builtPgx(), [], target)),
    masked: async (target) => text(await runClient(await builtPgx(), ['masked'], target)),
  },
];

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'chaperone-libraries-'));
});
after(() => rm(folder, { recursive: true, force: true }));

const skipped = (missing: string | null) => (missing === null || EVERYTHING_IS_INSTALLED ? false : missing);

for (const major of [18, 15] as const) {
  describe(`with PostgreSQL ${major}`, { skip: skipped(hasPostgres(major) ? null : `no PostgreSQL ${major} here`) }, () => {
    let stage: Stage;
    before(async () => {
      stage = await startStage(major);
    });
    after(() => stage?.stop());

    for (const { name, missing, atLeastLines, work, masked } of LIBRARIES) {
      test(`${name} does the same`, { skip: skipped(missing) }, async () => {
        const direct = await work(stage.direct);
        assert.deepEqual(await work(stage.open), direct);
        assert.ok(direct.length >= atLeastLines, direct.join('\n'));
        assert.ok(!direct[0]?.startsWith('exit') || direct[0] === 'exit 0', direct.join('\n'));
      });

      test(`${name} shows a masked value`, { skip: skipped(missing) }, async () => {
        const shown = await masked(stage.masked);
        assert.match(shown, /a\*{5}/);
        assert.doesNotMatch(shown, /ada@example\.com|exit [^0]/);
      });
    }
  });
}
