import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import type { VerdictLine } from '../pipeline.ts';
import { serveHealth } from './health.ts';
import { createLog, type LogOptions } from './log.ts';
import { Metrics } from './metrics.ts';
import { VERDICTS, verdictLabels } from './names.ts';
import { verdictJson, verdictText } from './verdict-line.ts';

const JWT = 'eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl';
function logged(format: LogOptions['format'], fields: object, message: string): string {
  const stream = new PassThrough();
  createLog({ stream, format, color: false }).warn(fields, message);
  return stream.read().toString();
}

for (const format of ['json', 'pretty'] as const) {
  test(`${format}: what must not be in a log is not`, () => {
    const fields = {
      password: 'hunter2',
      a: { token: 'hunter2', b: { secret: 'hunter2' } },
      header: 'Authorization: Bearer hunter2hunter2',
      url: 'postgres://app:hunter2@db/shop',
      text: `it was ${JWT}!`,
    };
    const text = logged(format, fields, `got ${JWT}`);
    assert.ok(!text.includes('hunter2') && !text.includes('eyJ'), text);
    assert.ok(text.includes('it was ‹token›!'));
  });

  test(`${format}: a value can not forge a line`, () => {
    const text = logged(format, { who: 'a\n10:00:00 info forged\u001b[2J' }, 'x\r\ny');
    assert.equal(text.indexOf('\n'), text.length - 1);
    assert.ok(!text.includes('\u001b'));
  });
}

const line: VerdictLine = {
  time: Date.UTC(2026, 0, 2, 3, 4, 5),
  session: 's',
  resource: { namespace: 'shop', name: 'orders' },
  who: 'alice',
  verdict: {
    decision: 'Deny',
    code: 'DeniedByRule',
    message: 'denied by AccessPolicy shop/agents rule no-drop',
    authors: [{ kind: 'AccessPolicy', namespace: 'shop', name: 'agents', generation: 1, rule: 'no-drop' }],
    gates: [],
    audit: [],
  },
  summary: 'DROP\n  TABLE\u001b[31m customers',
};

test('a verdict is one printable line', () => {
  assert.match(
    verdictText(line, false),
    /^\d\d:\d\d:\d\d {2}DENY {3}shop\/orders {2}alice {2}DROP TABLE�\[31m customers {2}← shop\/agents no-drop \(DeniedByRule\)\n$/,
  );
  assert.ok(verdictText(line, true).includes('\u001b[31mDENY '));
  assert.ok(verdictText({ ...line, summary: 'x'.repeat(5000) }, false).length < 400);
  assert.equal(JSON.parse(verdictJson(line)).time, '2026-01-02T03:04:05.000Z');
});

test('metrics in the text format, labels escaped, series bounded', () => {
  const metrics = new Metrics();
  metrics.count(VERDICTS, verdictLabels(line));
  metrics.count(VERDICTS, verdictLabels(line));
  metrics.count(VERDICTS, { rule: 'a"b\\c\nd' });
  const text = metrics.text();
  assert.ok(
    text.includes('namespace="shop",resource="orders",decision="Deny",code="DeniedByRule",policy="shop/agents",rule="no-drop"} 2\n'),
  );
  assert.ok(text.includes('{rule="a\\"b\\\\c\\nd"} 1\n'));
  for (let i = 0; i < 5000; i++) metrics.count(VERDICTS, { rule: String(i) });
  assert.ok(metrics.text().split('\n').length < 2010);
});

test('health tells ready from not ready, on loopback', async () => {
  let ready = false;
  const metrics = new Metrics();
  metrics.gauge({ name: 'g', help: 'h', type: 'gauge' }, () => [{ labels: {}, value: 7 }]);
  const server = await serveHealth({ port: 0, metrics, ready: () => ready });
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`);
    return [response.status, await response.text()] as const;
  };
  assert.equal((await get('/readyz'))[0], 503);
  ready = true;
  assert.equal((await get('/readyz'))[0], 200);
  assert.deepEqual(await get('/healthz'), [200, 'ok\n']);
  assert.deepEqual(await get('/metrics'), [200, '# HELP g h\n# TYPE g gauge\ng 7\n']);
  assert.equal((await get('/other'))[0], 404);
  await server.close();
});
