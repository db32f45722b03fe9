/** Alert rules and dashboard: Prometheus' own tests of the rules, every query parses, and every metric is one that we have. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { anchors, documents } from '#e2e/repo/docs.ts';
import { ROOT, sourceFiles } from '#e2e/repo/tree.ts';

const FILES = join(ROOT, 'charts/chaperone/files');
const promtool = (...args: string[]) => promisify(execFile)('promtool', args, { cwd: FILES });

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly annotations: Readonly<Record<string, string>>;
}

interface Dashboard {
  readonly panels: readonly { readonly title: string; readonly targets: readonly { readonly expr: string }[] }[];
}

const { groups } = parse(readFileSync(join(FILES, 'alerts.yaml'), 'utf8')) as { groups: { rules: Rule[] }[] };
const rules = groups.flatMap(({ rules: all }) => all);
const dashboard = JSON.parse(readFileSync(join(FILES, 'dashboards/chaperone.json'), 'utf8')) as Dashboard;
const queries = dashboard.panels.flatMap(({ title, targets }) => targets.map(({ expr }) => ({ title, expr })));

it('promtool takes the rules, and their tests pass', async () => {
  assert.match((await promtool('check', 'rules', 'alerts.yaml')).stdout, new RegExp(`SUCCESS: ${rules.length} rules found`));
  assert.match((await promtool('test', 'rules', 'alerts.test.yaml')).stdout, /SUCCESS/);
});

it('every alert has a test that sees it fire', () => {
  const { tests } = parse(readFileSync(join(FILES, 'alerts.test.yaml'), 'utf8')) as {
    tests: { alert_rule_test: { alertname: string; exp_alerts?: unknown[] }[] }[];
  };
  const fired = tests.flatMap(({ alert_rule_test }) =>
    alert_rule_test.filter(({ exp_alerts }) => exp_alerts).map(({ alertname }) => alertname),
  );
  assert.deepEqual(
    rules.map(({ alert }) => alert).filter((alert) => !fired.includes(alert)),
    [],
  );
});

it('every query of the dashboard parses', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'chaperone-dashboard-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const filled = queries.map(({ expr }) => expr.replaceAll('$__rate_interval', '5m').replaceAll('$namespace', '.*'));
  const recorded = filled.map((expr, i) => ({ record: `query_${i}`, expr }));
  writeFileSync(join(dir, 'queries.yaml'), JSON.stringify({ groups: [{ name: 'dashboard', rules: recorded }] }));
  await promtool('check', 'rules', join(dir, 'queries.yaml'));
});

describe('every metric is there', async () => {
  const texts = [...(await sourceFiles())].filter(([path]) => /^(sidecar|operator)\/telemetry\//.test(path) && !path.includes('.test.'));
  const inside = (folder: string, form: string) =>
    texts.some(([path, text]) => path.startsWith(folder) && (text.includes(`'${form}'`) || text.includes(`\${PREFIX}${form}\``)));
  // The operator's are written with their prefix left out, and those of watches with theirs.
  const has = (name: string) =>
    name.startsWith('chaperone_operator_')
      ? ['chaperone_operator_watch_', 'chaperone_operator_'].some((prefix) => inside('operator/', name.replace(prefix, '')))
      : inside('sidecar/', name);
  for (const [where, expr] of [
    ...rules.map(({ alert, expr }) => [alert, expr]),
    ...queries.map(({ title, expr }) => [title, expr]),
  ] as const) {
    it(`${where}`, () => {
      const missing = [...(expr?.matchAll(/\bchaperone_\w+/g) ?? [])].map(([name]) => name).filter((name) => !has(name));
      assert.deepEqual(missing, []);
    });
  }
});

it('every alert leads to a section of a page', async () => {
  const docs = await documents();
  for (const { alert, annotations } of rules) {
    const [path = '', anchor = ''] = annotations['runbook']?.split('#') ?? [];
    assert.ok(anchors(docs.get(path) ?? '').includes(anchor), `${alert}: ${annotations['runbook']}`);
  }
});
