import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { here, runClient, type Target } from './programs.ts';
import { type Stage, startStage } from './stage.ts';

let stage: Stage;
before(async () => {
  stage = await startStage();
});
after(() => stage.stop());

interface View {
  readonly name: string;
  /** All that a user of the client sees when it runs one statement, in the client's own words. */
  see(sql: string, target: Target): Promise<string>;
  readonly denied: readonly RegExp[];
  readonly held: readonly RegExp[];
  readonly masked: readonly RegExp[];
}

const NAMED = [/no-drop/, /e2e\/guarded/];

const VIEWS: readonly View[] = [
  {
    name: 'psql',
    see: async (sql, target) => {
      const { code, stdout, stderr } = await runClient(
        'psql',
        ['-X', '-v', 'VERBOSITY=verbose', '-c', sql, '-c', "SELECT 'still here'"],
        target,
      );
      return `exit ${code}\n${stdout}${stderr}`;
    },
    denied: [/^ERROR: {2}42501: /m, /^HINT: /m, ...NAMED],
    held: [/^NOTICE: .*approv/im, /^UPDATE 1$/m],
    masked: [/^ a\*+$/m],
  },
  {
    name: 'psycopg2',
    see: async (sql, target) => {
      const { code, stdout, stderr } = await runClient('/usr/bin/python3', [here('ask.py'), sql], target);
      return `exit ${code}\n${stdout}${stderr}`;
    },
    denied: [/^InsufficientPrivilege 42501 /m, ...NAMED],
    held: [/^UPDATE 1/m, /^NOTICE: .*approv/im],
    masked: [/^SELECT 1 \[\('a\*+',\)\]$/m],
  },
  {
    name: 'node-postgres',
    see: async (sql, target) => {
      const lines: string[] = [];
      const client = new Client({ ...target });
      client.on('notice', ({ message }) => lines.push(`notice ${message}`));
      await client.connect();
      await client.query<Record<string, unknown>>(sql).then(
        ({ command, rowCount, rows }) => lines.push(`${command} ${rowCount} ${JSON.stringify(rows)}`),
        (error: unknown) => lines.push(JSON.stringify(error, ['code', 'hint']), String(error)),
      );
      lines.push(JSON.stringify((await client.query("SELECT 'still here'")).rows));
      await client.end();
      return lines.join('\n');
    },
    denied: [/"code":"42501"/, /"hint":"\w/, ...NAMED],
    held: [/^notice .*approv/im, /^UPDATE 1 \[\]$/m],
    masked: [/"email":"a\*+"/],
  },
  {
    name: 'pgbench',
    see: async (sql, target) => {
      const folder = await mkdtemp(join(tmpdir(), 'chaperone-pgbench-'));
      // pgbench shows no rows; what it was given it puts into the next statement, which --debug shows.
      const script = sql.startsWith('SELECT') ? `${sql} \\gset\nSELECT ':email' AS shown;\n` : `${sql};\n`;
      await writeFile(join(folder, 'script'), script);
      const { code, stdout, stderr } = await runClient(
        'pgbench',
        ['-n', '--debug', '-c', '1', '-t', '1', '-f', join(folder, 'script')],
        target,
      );
      await rm(folder, { recursive: true });
      return `exit ${code}\n${stdout}${stderr}`;
    },
    denied: [/^exit 2$/m, /aborted in command 0.*ERROR/s, ...NAMED],
    held: [/^exit 0$/m, /processed: 1\/1$/m],
    masked: [/sending SELECT 'a\*+' AS shown/],
  },
];

for (const { name, see, denied, held, masked } of VIEWS) {
  test(`${name} shows a denial, and its connection lives on`, async () => {
    const shown = await see('DROP TABLE orders', stage.guarded);
    for (const part of denied) assert.match(shown, part);
    if (name !== 'pgbench') assert.match(shown, /still here/);
    assert.deepEqual(await inGuarded('SELECT count(*)::int AS n FROM orders'), [{ n: 200 }]);
  });

  test(`${name} waits while a statement is held, and goes on when it is approved`, async () => {
    const note = `held for ${name}`;
    const seen = see(`UPDATE orders SET note = '${note}' WHERE id = 1`, stage.guarded);
    const [request] = await untilHeld();
    assert.ok(request);
    assert.deepEqual(await inGuarded(`SELECT id FROM orders WHERE note = '${note}'`), []);
    await stage.approve(request);
    const shown = await seen;
    for (const part of held) assert.match(shown, part);
    assert.deepEqual(await inGuarded(`SELECT id FROM orders WHERE note = '${note}'`), [{ id: 1 }]);
  });

  test(`${name} shows a masked value`, async () => {
    const shown = await see('SELECT email FROM customers WHERE id = 1', stage.guarded);
    for (const part of masked) assert.match(shown, part);
    assert.doesNotMatch(shown, /ada@example\.com/);
  });
}

/** These the sidecar answers itself, because it can't judge them: the words are the server's, the SQLSTATE is that of a denial. */
for (const { name, see } of VIEWS) {
  test(`${name} is told what is wrong with a statement that can't be judged`, async () => {
    assert.match(await see('SELEC 1', stage.guarded), /syntax error at or near \W*SELEC/);
    assert.match(await see('EXECUTE nothing_prepared(1)', stage.open), /prepared statement \W*nothing_prepared\W* does not exist/);
  });
}

async function untilHeld(): Promise<string[]> {
  for (let i = 0; i < 100; i++) {
    const names = await stage.waiting();
    if (names.length > 0) return names;
    await sleep(100);
  }
  return [];
}

/** Past the sidecar. */
async function inGuarded(sql: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ ...stage.direct, database: 'guarded' });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}
