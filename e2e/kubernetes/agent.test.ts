/** The product as its purpose says: installed by Helm, a namespace with a label, and psql as the agent in it. Once per mode. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { DeleteObjectCommand, ListObjectVersionsCommand } from '@aws-sdk/client-s3';
import { waitFor } from '#e2e/cluster/ready.ts';
import { watchStarved } from '#e2e/cluster/starved.ts';
import { apply, testCluster } from '#e2e/cluster/test-cluster.ts';
import {
  AGENTS,
  type AgentNamespace,
  chaperone,
  endOfJob,
  HOST,
  PSQL,
  pendingRequest,
  resource,
  SHOP,
  type Stage,
  startJob,
  startPod,
  startStage,
} from './agent-stage.ts';
import { NAMESPACE } from './install.ts';

const cluster = await testCluster();
const NO_S3 = 'needs an S3 server that the pods reach: CHAPERONE_S3 (e2e/cluster/README.md)';
const CARD = '4111111111111111';
/** The live session asks again so long after an answer: by so much a change may be seen later than it holds. */
const POLL_MS = 20;

describe('an agent in a cluster', { timeout: 1_200_000, skip: cluster.s3 === null && NO_S3 }, () => {
  let stage: Stage;
  before(async () => {
    stage = await startStage(cluster);
  });
  after(() => stage?.close());
  const kubectl = async (...args: string[]) => (await cluster.kubectl(args)).stdout;

  for (const namespace of AGENTS) {
    describe(namespace, () => agentTests(namespace));
  }

  function agentTests(namespace: AgentNamespace): void {
    it('a plain psql gets masked rows, and DROP is refused with 42501', async () => {
      const read = `${PSQL} -At -c 'SELECT id, full_name, email, card, ssn FROM customers ORDER BY id'`;
      await startJob(
        stage,
        namespace,
        'read',
        `${read}; ${PSQL} -c 'DROP TABLE orders' 2>&1; ${PSQL} -At -c 'SELECT id FROM orders ORDER BY id DESC LIMIT 1'`,
      );
      const said = await endOfJob(stage, namespace, 'read');
      assert.match(said, /^1\|Ada Kestrel\|a\*+\|\*+1111\|\[redacted\]$/m);
      assert.match(said, /^2\|Bram Osprey\|b\*+\|\*+5559\|\[redacted\]$/m);
      assert.match(said, /^ERROR: {2}42501: .*AccessPolicy accept-shop\/shop-agents rule no-drop/m);
      assert.match(said, /^2$/m, 'the table is still there');
    });

    it('an UPDATE is held until somebody who may says yes with kubectl; the agent may not', async () => {
      await startJob(stage, namespace, 'refund', `${PSQL} -c "UPDATE orders SET status = 'refunded' WHERE id = 2" 2>&1`);
      const request = await pendingRequest(stage);
      const table = await kubectl('-n', SHOP, 'get', 'approvalrequests');
      assert.match(table, /^NAME +ASKER +RESOURCE +GATE +STATE +APPROVALS +AGE$/m);
      assert.match(table, new RegExp(`^${request} +${namespace}/agent +shop-db +change-approval +Pending +0/1 `, 'm'));
      const input = JSON.stringify({
        apiVersion: 'chaperone.dev/v1alpha1',
        kind: 'ApprovalDecision',
        metadata: { generateName: `${request}-`, namespace: SHOP },
        spec: { requestRef: { name: request }, decision: 'Approve' },
      });
      const [agent, bob] = [await cluster.kubectlAs(`system:serviceaccount:${namespace}:agent`), await cluster.kubectlAs('bob', ['leads'])];
      await assert.rejects(agent(['create', '-f', '-'], { input }), /forbidden/);
      await bob(['create', '-f', '-'], { input });
      const said = await endOfJob(stage, namespace, 'refund');
      assert.match(said, new RegExp(`^NOTICE: .*waiting for approval ${request}$`, 'm'));
      assert.match(said, /^UPDATE 1$/m);
      assert.equal(await kubectl('-n', SHOP, 'get', 'approvalrequest', request, '-o', 'jsonpath={.status.state}'), 'Approved');
    });

    it('each change of a policy by kubectl is enforced on the connection that is open, within a second', async (t) => {
      await startPod(stage, namespace, 'live', liveSession());
      await waitFor('the first rows', async () => /ok/.test(await kubectl('-n', namespace, 'logs', 'live', '-c', 'agent')) || undefined);
      const logs = async () => answersIn(await kubectl('-n', namespace, 'logs', 'live', '-c', 'agent', '--tail=5000'));
      const starved = cluster.own === null ? null : await watchStarved(['operator.js', 'sidecar.js']);
      const changes: { tookMs: number; starvedMs: number }[] = [];
      for (const action of ['Deny', 'Allow', 'Deny', 'Allow', 'Deny', 'Allow']) {
        const patch = JSON.stringify([{ op: 'replace', path: '/spec/rules/0/action', value: action }]);
        await kubectl('-n', SHOP, 'patch', 'accesspolicy', 'shop-agents', '--type', 'json', '-p', patch);
        const patched = Date.now();
        const verdict = action === 'Deny' ? 'denied' : 'ok';
        // The lines have times: to ask often would only take the processor from what is measured.
        const ask = async () => {
          const all = await logs();
          return all.at(-1)?.verdict === verdict ? all : undefined;
        };
        const lines = await waitFor(`${action} on the live connection`, ask, 60_000, 700);
        const last = lines.findLastIndex((line) => line.verdict !== verdict);
        assert.ok(last >= 0, 'the change itself is not in what was read of the log');
        const { at } = lines[last + 1] ?? assert.fail('no answer');
        changes.push({ tookMs: Math.round(at - patched), starvedMs: Math.round(starved?.betweenMs(patched, at) ?? 0) });
      }
      await starved?.stop();
      const told = changes.map(({ tookMs, starvedMs }) => `${tookMs} (${starvedMs} of them without a processor)`).join(', ');
      t.diagnostic(`ms after kubectl had returned: ${told}`);
      for (const { tookMs, starvedMs } of changes) assert.ok(tookMs < 1000 + POLL_MS + starvedMs, told);
      const all = await kubectl('-n', namespace, 'logs', 'live', '-c', 'agent');
      assert.doesNotMatch(all, /lost|closed|reset/, 'all of it was one connection');
    });

    it('the status of the policies counts the sidecars that enforce them', async () => {
      for (const policy of ['accesspolicy/shop-agents', 'maskingrule/customer-data']) {
        await waitFor(`${policy} is enforced`, async () => {
          const { status } = JSON.parse(await kubectl('-n', SHOP, 'get', policy, '-o', 'json'));
          const programmed = status.conditions.find(({ type }: { type: string }) => type === 'Programmed');
          return (programmed.status === 'True' && /^([1-9]\d*)\/\1$/.test(status.sidecars)) || undefined;
        });
      }
    });

    it("the target's credential is nowhere in the agent's container", async () => {
      const { password, s3 } = stage;
      for (const [secret, found] of [
        ['mark-of-the-agent', true],
        [password, false],
        [s3.secretAccessKey, false],
      ] as const) {
        const exec = ['-n', namespace, 'exec', '-i', 'live', '-c', 'agent', '--', 'bash', '-c', SEARCH];
        const { stdout } = await cluster.kubectl(exec, { input: `${secret}\n` });
        assert.match(stdout, /searched$/m);
        assert.equal(/^found /m.test(stdout), found, stdout);
      }
      const spec = await kubectl('-n', namespace, 'get', 'pod', 'live', '-o', 'yaml');
      assert.ok(!spec.includes(password) && !spec.includes(s3.secretAccessKey));
    });
  }

  it('a ProtectedResource that comes after a pod: its agent is told to be restarted, a transparent pod needs it not', async () => {
    const late = resource('late-db', `late-db.${SHOP}.svc`);
    const policy = JSON.parse(await kubectl('-n', SHOP, 'get', 'accesspolicy', 'shop-agents', '-o', 'json'));
    const spec = { ...policy.spec, targetRefs: [{ name: 'late-db' }] };
    await apply(cluster, SHOP, [late, { apiVersion: policy.apiVersion, kind: policy.kind, metadata: { name: 'late-agents' }, spec }]);
    const restarts = async (namespace: AgentNamespace) =>
      kubectl('-n', namespace, 'get', 'events', '--field-selector', 'reason=RestartRequired');
    await waitFor('the Event', async () => /pod\/live .*accept-shop\/late-db/.test(await restarts('accept-explicit')) || undefined);
    const condition = `jsonpath={.status.conditions[?(@.type=="Programmed")]}`;
    const message = await waitFor('its status', async () => {
      const { status, reason, message } = JSON.parse(await kubectl('-n', SHOP, 'get', 'protectedresource', 'late-db', '-o', condition));
      return status === 'True' && reason === 'RestartRequired' ? (message as string) : undefined;
    });
    assert.match(message, /1 \(accept-explicit\/live\)/);
    assert.doesNotMatch(await restarts('accept-transparent'), /RestartRequired/);
  });

  it('in transparent mode the way around the sidecar is none: by address it judges too, and the rest is shut', async () => {
    const address = await kubectl('-n', SHOP, 'get', 'pods', '-l', 'app=shop-db', '-o', 'jsonpath={.items[0].status.podIP}');
    const api = await kubectl('get', 'service', 'kubernetes', '-o', 'jsonpath={.spec.clusterIP}');
    const script = `
      ${PSQL.replace(HOST, `$(getent hosts ${HOST} | cut -d' ' -f1)`)} -At -c 'SELECT card FROM customers WHERE id = 1' 2>&1
      PGCONNECT_TIMEOUT=5 ${PSQL.replace(HOST, address)} -At -c 'SELECT card FROM customers WHERE id = 1' 2>&1
      curl -sk -m 5 -o /dev/null https://${api}/version || echo "no way: $?"`;
    await startJob(stage, 'accept-transparent', 'around', script);
    const said = await endOfJob(stage, 'accept-transparent', 'around');
    assert.match(said, /^\*+1111$/m, "by the Service's address");
    assert.match(said, /^no way: \d+$/m);
    assert.ok(!said.includes(CARD), said);
  });

  it('all of it is in the bucket, locked, and verifies offline with the CA alone', async () => {
    for (const namespace of AGENTS) await kubectl('-n', namespace, 'delete', 'pod', 'live');
    const dir = await mkdtemp(join(tmpdir(), 'chaperone-accept-'));
    try {
      const ca = join(dir, 'ca.crt');
      const encoded = await kubectl('-n', NAMESPACE, 'get', 'secret', 'chaperone-ca', '-o', 'jsonpath={.data.ca\\.crt}');
      await writeFile(ca, Buffer.from(encoded, 'base64'));
      const verified = await chaperone(stage, ['sessions', 'verify', '--ca', ca, '-o', 'json']);
      const result = JSON.parse(verified.stdout);
      assert.deepEqual([verified.code, result.ok, result.findings], [0, true, []], verified.stdout);
      const listed = await chaperone(stage, ['sessions', 'ls', '-o', 'json']);
      assert.equal(listed.code, 0, listed.stderr);
      const sessions: { readonly session: string }[] = JSON.parse(listed.stdout);
      // Three of `read`, one each of `refund` and `live`, per mode.
      assert.ok(sessions.length >= 10, listed.stdout);
      assert.equal(result.sessions, sessions.length);
      assert.equal((await chaperone(stage, ['sessions', 'verify', '--ca', await otherCa(dir)])).code, 1, 'another CA proves nothing');
      await theyTell(sessions.map(({ session }) => session));
      await areLocked();
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });

  async function theyTell(sessions: readonly string[]): Promise<void> {
    const shown = await Promise.all(sessions.map(async (id) => (await chaperone(stage, ['sessions', 'show', id])).stdout));
    const all = shown.join('\n');
    for (const what of [/DROP TABLE orders/, /UPDATE orders/, /bob/, /1111/]) assert.match(all, what);
    assert.ok(!all.includes(CARD), 'rows are recorded as the agent saw them');
    assert.ok(!all.includes(stage.password));
  }

  async function areLocked(): Promise<void> {
    const { client, name } = stage.bucket;
    const { Versions = [] } = await client.send(new ListObjectVersionsCommand({ Bucket: name, Prefix: 'recordings/' }));
    const segment = Versions.find(({ Key }) => Key?.startsWith('recordings/date='));
    assert.ok(segment?.Key !== undefined && segment.VersionId !== undefined);
    const deletion = new DeleteObjectCommand({ Bucket: name, Key: segment.Key, VersionId: segment.VersionId });
    await assert.rejects(client.send(deletion), /AccessDenied|Access Denied|locked|retention/i);
  }
});

/** One connection; a line with a time for each answer. Seconds with a fraction, of the clock that the tests have. */
function liveSession(): string {
  // A read of what never comes waits, and starts no process.
  const ask = `while :; do echo "SELECT 'ok' FROM customers WHERE id = 1;"; read -t ${POLL_MS / 1000} -u 9; done`;
  return `exec 9<> <(sleep infinity); (${ask}) | ${PSQL} -At 2>&1 | while read -r line; do echo "$EPOCHREALTIME $line"; done`;
}

/** Of an error only the line that has its code. */
function answersIn(logs: string): { readonly at: number; readonly verdict: 'ok' | 'denied' }[] {
  const found = [...logs.matchAll(/^(\d+\.\d+) (?:(ok)$|ERROR: {2}42501)/gm)];
  return found.map(([, time, ok]) => ({ at: Number(time) * 1000, verdict: ok === undefined ? 'denied' : 'ok' }));
}

/** Looks for the line that it reads, in files, environments and command lines. The line itself is in none of these. */
const SEARCH = `
  read -r wanted
  for dir in /etc /home /opt /root /run /srv /tmp /var /dev/shm; do
    grep -rslF -D skip -f <(printf '%s\\n' "$wanted") "$dir" 2>/dev/null | sed 's/^/found in /'
  done
  for file in /proc/[0-9]*/environ /proc/[0-9]*/cmdline; do
    { tr '\\0' '\\n' <"$file"; } 2>/dev/null | grep -qF -f <(printf '%s\\n' "$wanted") && echo "found in $file"
  done
  echo searched`;

/** A CA that has signed nothing here. */
async function otherCa(dir: string): Promise<string> {
  const { Authority, newAuthorityState } = await import('#operator/pki/authority.ts');
  const file = join(dir, 'other.crt');
  await writeFile(file, new Authority(await newAuthorityState(Date.now())).bundle);
  return file;
}
