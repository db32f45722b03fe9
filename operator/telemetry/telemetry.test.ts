import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError, readConfig } from '../config.ts';
import type { WatchState } from '../kube/watch.ts';
import { alive, ready } from './health.ts';
import { createMetrics } from './metrics.ts';
import { startTelemetry } from './server.ts';

const WATCH: WatchState = {
  name: 'pods',
  synced: true,
  connected: true,
  lastEventAgeMs: 1_000,
  lastTryAgeMs: 1_000,
  restarts: 2,
  relists: 0,
  handlerErrors: 0,
  objects: 3,
};
const MINUTE = 60_000;

test('ready when all is listed, and not while shutting down', () => {
  assert.deepEqual(ready([WATCH], []), { ok: true, problems: [] });
  assert.deepEqual(ready([WATCH], ['shutting down']).problems, ['shutting down']);
  assert.deepEqual(ready([WATCH, { ...WATCH, name: 'x', synced: false }], []).problems, ['x are not listed yet']);
});

test('an API server that is away is no reason to be restarted, nor to stop serving what is known', () => {
  const away = { ...WATCH, connected: false, lastEventAgeMs: 30 * MINUTE };
  assert.equal(alive([away, away]).ok, true);
  assert.equal(ready([away, away], []).ok, true);
  assert.deepEqual(ready([away, WATCH], []).problems, ['the watch of pods is silent']);
});

test('a loop that does nothing at all is a reason to be restarted', () => {
  assert.deepEqual(alive([{ ...WATCH, lastTryAgeMs: 6 * MINUTE }]).problems, ['the watch of pods is stuck']);
});

test('telemetry over HTTP', async () => {
  let problems: readonly string[] = [];
  const metrics = createMetrics({
    version: '1.2.3',
    watches: () => [
      WATCH,
      { ...WATCH, name: 'secrets/shop/a' },
      { ...WATCH, name: 'secrets/shop/b', lastEventAgeMs: 5_000, connected: false },
    ],
    leads: () => true,
    pods: () => 7,
    compiled: () => 3,
    approvalsPending: () => 4,
    proofs: () => ({ held: 7, failed: 2 }),
    queue: () => ({ depth: 1, failures: 2 }),
  });
  const { observe } = metrics;
  observe.review({ path: '/guard', allowed: false, seconds: 0.01 });
  observe.records.slotsGiven(3);
  observe.records.refused('PathInvalid');
  observe.records.countersigned();
  observe.records.checked({ ready: true });
  observe.records.checked({ ready: false, reason: 'VersioningOff' });
  observe.approval('Approved');
  observe.egress('denied', 5);
  const server = await startTelemetry({
    port: 0,
    alive: () => ({ ok: true, problems: [] }),
    ready: () => ({ ok: problems.length === 0, problems }),
    metrics: () => metrics.text(),
  });
  const get = async (path: string, method = 'GET') => {
    const answer = await fetch(`http://127.0.0.1:${server.port}${path}`, { method });
    return [answer.status, await answer.text()] as const;
  };
  try {
    assert.deepEqual(await get('/healthz'), [200, 'ok\n']);
    assert.deepEqual(await get('/readyz?verbose'), [200, 'ok\n']);
    problems = ['pods are not listed yet'];
    assert.deepEqual(await get('/readyz'), [503, 'pods are not listed yet\n']);
    assert.equal((await get('/healthz', 'POST'))[0], 404);
    assert.equal((await get('/toString'))[0], 404);
    const [, text] = await get('/metrics');
    for (const line of [
      'chaperone_operator_info{version="1.2.3"} 1',
      'chaperone_operator_leader 1',
      'chaperone_operator_injected_pods 7',
      'chaperone_operator_reconcile_failures_total 2',
      'chaperone_operator_freshness_proofs_total{result="failed"} 2',
      'chaperone_operator_approvals_pending 4',
      'chaperone_operator_admission_reviews_total{path="/guard",allowed="false"} 1',
      'chaperone_operator_admission_review_seconds_count{path="/guard"} 1',
      'chaperone_operator_recording_slots_total 3',
      'chaperone_operator_recording_refusals_total{code="PathInvalid"} 1',
      'chaperone_operator_recording_heads_total 1',
      'chaperone_operator_bucket_ready{reason="VersioningOff"} 0',
      'chaperone_operator_approvals_total{state="Approved"} 1',
      'chaperone_operator_unmonitored_egress_total{verdict="denied"} 5',
      'chaperone_operator_watch_last_event_age_seconds{resource="secrets"} 5',
      'chaperone_operator_watch_connected{resource="secrets"} 1',
      'chaperone_operator_watch_objects{resource="pods"} 3',
      'chaperone_operator_watch_restarts{resource="pods"} 2',
    ]) {
      assert.ok(text.split('\n').includes(line), line);
    }
    // Scraped again, a counter is what it was and not twice that.
    assert.match((await get('/metrics'))[1], /reconcile_failures_total 2\n/);
    assert.doesNotMatch(text, /shop/);
  } finally {
    await server.close();
  }
});

test('flags: defaults, the downward API, and what is refused', () => {
  const config = readConfig([], { POD_NAME: 'chaperone-0', POD_NAMESPACE: 'ops' });
  assert.deepEqual(
    [config.pod, config.namespace, config.clusterName, config.trustDomain],
    ['chaperone-0', 'ops', 'cluster', 'cluster.local'],
  );
  assert.equal(readConfig(['--namespace', 'x'], { POD_NAMESPACE: 'ops' }).namespace, 'x');
  const bucket = readConfig(['--bucket-url=s3://records/prod', '--bucket-credentials=/c', '--object-lock-days=30'], {}).bucket;
  const url = 's3://records/prod';
  const lock = { objectLockDays: 30, objectLockMode: 'COMPLIANCE' };
  assert.deepEqual(bucket, { url, endpoint: null, region: 'us-east-1', credentials: '/c', ca: null, ...lock });
  const other = readConfig(['--bucket-url', url, '--bucket-ca=/ca', '--object-lock-mode=GOVERNANCE'], {}).bucket;
  assert.deepEqual([other?.credentials, other?.ca, other?.objectLockMode], [null, '/ca', 'GOVERNANCE']);
  assert.deepEqual([config.snapshotTtlSeconds, readConfig(['--snapshot-ttl-seconds=10'], {}).snapshotTtlSeconds], [3600, 10]);
  for (const args of [
    ['--egress', 'Some'],
    ['--snapshot-ttl-seconds', '9'],
    ['--snapshot-ttl-seconds', '86401'],
    ['--bucket-url', 's3://x', '--object-lock-mode', 'NONE'],
    ['--bucket-url', 'x', '--bucket-credentials', 'c'],
  ])
    assert.throws(() => readConfig(args, {}), ConfigError, args.join(' '));
  for (const args of [['--nonsense'], ['--telemetry-port', '70000'], ['--log-level', 'loud'], ['--trust-domain', 'A b'], ['stray']])
    assert.throws(() => readConfig(args, {}), ConfigError, args.join(' '));
});
