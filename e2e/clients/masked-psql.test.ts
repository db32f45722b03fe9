/** What a person with psql asks all day, of a database with a masked table: the answers are the server's own, but for the masks. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { runClient, type Target } from './programs.ts';
import { type Stage, startStage } from './stage.ts';

let stage: Stage;
before(async () => {
  stage = await startStage();
});
after(() => stage.stop());

/** They only describe: nothing of them is refused, or another than without the sidecar. */
const DESCRIBES =
  `\\d \\d+ \\d_customers \\d+_customers \\d+_orders \\d+_totals \\dt \\dt+ \\dt_other.* \\di \\di+ \\dv \\dv+ \\dm \\ds+ \\dE \\dti+_cust* \\da \\df \\df+
\\dfn_*.now \\df_*.lower \\sv_totals \\sv+_totals \\l \\l+ \\du \\du+ \\dg \\dn \\dn+ \\dp \\dp_customers \\z \\ddp \\dT \\dT+ \\dD+ \\dC \\do_= \\dO \\db \\db+ \\dc \\dd \\dx \\dx+
\\dF \\dF+ \\dFd \\dFp \\dFt \\dy \\dL+ \\dA+ \\dAc \\dAf \\dAo \\dAp \\dX \\dP+ \\dRp+ \\dconfig_work_mem \\dl \\encoding`
    .split(/\s+/)
    .map((command) => command.replaceAll('_', ' ').replace('work mem', 'work_mem'));

const SAME = [
  'SELECT id, name FROM customers ORDER BY id LIMIT 3 \\gx',
  '\\x on \\\\ SELECT id, name FROM customers WHERE id = 2; \\x off',
  "SELECT 'SELECT ' || id || ' AS n' FROM customers WHERE id < 4 ORDER BY id \\gexec",
  'SELECT email FROM customers \\gdesc',
  'SELECT id AS the_id FROM customers ORDER BY id LIMIT 1 \\gset\n\\echo :the_id',
  'SELECT c.id % 2 AS odd, o.id % 3 AS third, count(*) FROM orders o JOIN customers c ON c.id = o.customer GROUP BY 1, 2 ORDER BY 1, 2 \\crosstabview',
  '\\copy (SELECT id, name FROM customers ORDER BY id LIMIT 2) TO STDOUT',
  'SELECT nope FROM customers;\n\\errverbose',
  'SELEC 1;',
  'SELECT 1/0 \\; SELECT 2;',
  '\\set FETCH_COUNT 2\nSELECT id, name FROM customers ORDER BY id LIMIT 5;\n\\unset FETCH_COUNT',
  'SHOW search_path;',
  'SELECT current_user, current_database();',
  "SELECT has_table_privilege('customers', 'SELECT'), to_regclass('customers');",
  'SELECT table_name FROM information_schema.tables WHERE table_schema = $$public$$ ORDER BY 1;',
  'BEGIN;\nSELECT id FROM customers WHERE id = 1 ORDER BY id;\nROLLBACK;',
];

/** Of these a masked column is shown, masked. */
const MASKED = [
  'TABLE customers;',
  'SELECT * FROM customers ORDER BY id LIMIT 3 \\gx',
  '\\copy customers TO STDOUT CSV HEADER',
  'COPY customers (id, email) TO STDOUT;',
];

/** Named in docs/masking.md. */
const REFUSED = [
  '\\dRs',
  '\\drds',
  '\\des',
  '\\deu',
  'SELECT * FROM pg_stat_activity;',
  'SELECT * FROM pg_stats;',
  'SELECT pg_advisory_lock(1);',
];

const ask = async (target: Target, input: string): Promise<readonly string[]> => {
  const { stdout, stderr } = await runClient('psql', ['-X'], target, `${input}\n`);
  return [...stdout.split('\n'), ...stderr.split('\n')];
};
const direct = (): Target => ({ ...stage.direct, database: 'guarded' });

test('the commands that describe', async () => {
  const input = DESCRIBES.flatMap((command) => [`\\echo ${command.replaceAll('\\', '')}`, command]).join('\n');
  const own = await ask(direct(), input);
  assert.ok(own.length > 500, String(own.length));
  assert.deepEqual(await ask(stage.guarded, input), own);
});

for (const input of SAME) {
  test(`the same: ${input}`, async () => assert.deepEqual(await ask(stage.guarded, input), await ask(direct(), input)));
}

for (const input of MASKED) {
  test(`masked: ${input}`, async () => {
    const [own, masked] = [(await ask(direct(), input)).join('\n'), (await ask(stage.guarded, input)).join('\n')];
    assert.match(own, /@/);
    assert.doesNotMatch(masked, /@|ERROR/);
    assert.match(masked, /\*\*\*/);
  });
}

for (const input of REFUSED) {
  test(`refused: ${input}`, async () => assert.match((await ask(stage.guarded, input)).join('\n'), /ERROR: {2}chaperone: /));
}
