/**
 * One part after the other is taken away while agents work, and given back: operator, API server, bucket, containerd, a sidecar, a pod.
 * Each is away for CHAPERONE_FAILURE_SECONDS: 20 where nothing is said, so that CI is short; the full form is 120.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { verify } from '#cli/sessions/testing.ts';
import type { Finding } from '#crds/record/finding.ts';
import { waitFor } from '#e2e/cluster/ready.ts';
import { apply, type Part, testCluster } from '#e2e/cluster/test-cluster.ts';
import { type Answer, look, markOf, missing, type Seen, verdictsIn } from './evidence.ts';
import { AGENTS, FAILURE, type PodObject, policy, type Stage, startStage } from './failure-stage.ts';
import { NAMESPACE } from './install.ts';

const AWAY_MS = Number(process.env['CHAPERONE_FAILURE_SECONDS'] ?? '20') * 1000;
/** A part may be away for longer than a policy holds. */
const TTL_MS = Math.max(10_000, AWAY_MS / 2);
/** Between the last heartbeat and the moment at which the operator goes. */
const HEARTBEAT_MS = TTL_MS / 4;
const OPERATOR = ['-n', NAMESPACE, 'pods', '-l', 'app.kubernetes.io/component=operator'];

interface PolicyObject {
  readonly metadata: { readonly generation: number };
  readonly status?: {
    readonly sidecars?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly observedGeneration?: number }[];
  };
}

const skip = (await testCluster()).own === null && 'needs a cluster whose parts can be killed';

describe('parts that fail under load', { timeout: 1_800_000, skip }, () => {
  let stage: Stage;
  before(
    async () => {
      const whole = await testCluster();
      assert.ok(whole.own);
      stage = await startStage(whole, whole.own, TTL_MS / 1000);
      await works(stage, Date.now());
      await programmed(stage, '2/2');
    },
    { timeout: 600_000 },
  );
  after(async () => stage?.close(), { timeout: 300_000 });

  it('all is well before: every statement is judged, and arrives in the bucket', async () => {
    await settled(stage);
    await verified(stage);
  });

  it('the leader is killed: the other replica writes status, and no agent notices', async () => {
    const leader = await leaderOf(stage);
    const from = Date.now();
    await stage.cluster.kubectl(['-n', NAMESPACE, 'delete', 'pod', leader, '--force', '--grace-period=0']);
    const spec = { ...policy('load', ['public.work', 'public.other']) };
    await waitFor('the changed policy', async () => (await apply(stage.cluster, FAILURE, [spec])) ?? true);
    await programmed(stage, '2/2');
    assert.notEqual(await leaderOf(stage), leader);
    await works(stage, Date.now());
    refusedNone(await look(stage), from, Date.now());
    await settled(stage);
  });

  it('the operator is away: agents go on until the policy is too old, then all is denied, and what changed meanwhile holds as soon as it is back', async () => {
    const { kubectl } = stage.cluster;
    assert.match(await extra(stage), /^0$/m);
    const scale = (replicas: number) => kubectl(['-n', NAMESPACE, 'scale', 'deployment/chaperone-operator', `--replicas=${replicas}`]);
    const pods = (await stage.get<{ items: PodObject[] }>(...OPERATOR)).items;
    const { from, until } = await away(
      async () => {
        await Promise.all(pods.map(({ status }) => stage.own.killContainer(status.containerStatuses?.[0]?.containerID ?? '')));
        await scale(0);
        await kubectl(['-n', NAMESPACE, 'delete', 'pods', '-l', 'app.kubernetes.io/component=operator', '--force', '--grace-period=0']);
        // What takes rights away needs no operator's leave.
        await kubectl(['-n', FAILURE, 'delete', 'accesspolicy', 'extra']);
      },
      async () => void (await scale(2)),
    );
    await kubectl(['-n', NAMESPACE, 'rollout', 'status', 'deployment/chaperone-operator', '--timeout=120s']);
    const back = Date.now();
    await works(stage, back);
    assert.match(await extra(stage), /denied/i);
    const seen = await look(stage);
    refusedNone(seen, from, from + TTL_MS - HEARTBEAT_MS - 1000);
    const late = between(seen, from + TTL_MS + 3000, until);
    assert.ok(late.length > 0);
    assert.deepEqual(
      late.filter(({ said }) => said === 'ok'),
      [],
    );
    assert.ok(late.some(({ said }) => said.includes('the policy is older than it may be')));
    await programmed(stage, '2/2');
    await settled(stage);
  });

  it('the API server is away: agents go on, and status is right afterwards', async () => {
    const { from, until } = await part('kube-apiserver');
    await waitFor('the API server', async () => (await stage.cluster.kubectl(['get', '--raw', '/readyz'])).stdout === 'ok' || undefined);
    await works(stage, Date.now());
    // The operator vouches for nothing that it can't look up: the policy grows old.
    refusedNone(await look(stage), from, Math.min(until, from + TTL_MS - HEARTBEAT_MS - 1000));
    const spec = policy('load', ['public.work']);
    await waitFor('the changed policy', async () => (await apply(stage.cluster, FAILURE, [spec])) ?? true);
    await programmed(stage, '2/2');
    await watchesFresh(stage);
    await settled(stage);
  });

  it('the bucket is away: agents go on, and what waited in the pods is uploaded', async () => {
    const { from, until } = await part('s3');
    await works(stage, Date.now());
    const seen = await look(stage);
    refusedNone(seen, from, until);
    await settled(stage);
    for (const pod of AGENTS) assert.ok(/^chaperone_recording_upload_failures [1-9]/m.test(await metrics(stage, FAILURE, pod, 15020)));
  });

  it("the node's containerd is killed: pods live on, and so do the agents' sessions", async () => {
    const before = await containers(stage);
    const { from, until } = await part('containerd', () => stage.own.kill('containerd'));
    await works(stage, Date.now());
    refusedNone(await look(stage), from, until);
    await settled(stage);
    assert.deepEqual(await containers(stage), before);
  });

  it('a sidecar is killed: its agent is refused until it is back, and nothing that was judged is lost', async () => {
    const [pod] = AGENTS;
    const sidecar = async () => {
      const { status } = await stage.get<PodObject>('-n', FAILURE, 'pod', pod);
      return status.initContainerStatuses?.find(({ name }) => name === 'chaperone');
    };
    const before = await sidecar();
    await stage.own.killContainer(before?.containerID ?? '');
    await waitFor('the sidecar', async () => {
      const now = await sidecar();
      return (now?.ready && now.restartCount === (before?.restartCount ?? 0) + 1) || undefined;
    });
    await works(stage, Date.now());
    await programmed(stage, '2/2');
    await settled(stage);
    await verified(stage);
  });

  it('a pod dies while the bucket is away: what died with it shows as a gap, and of the other pod nothing is missing', async () => {
    const [kept, gone] = AGENTS;
    const died = await look(stage, [kept]);
    await part('s3', async () => {
      await stage.own.stop('s3');
      await sleep(2000);
      const { status } = await stage.get<PodObject>('-n', FAILURE, 'pod', gone);
      const containers = [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])];
      await stage.cluster.kubectl(['-n', FAILURE, 'delete', 'pod', gone, '--force', '--grace-period=0']);
      await Promise.all(containers.map(({ containerID }) => stage.own.killContainer(containerID ?? '').catch(() => {})));
    });
    await works(stage, Date.now(), [kept]);
    const seen = await look(stage, [kept]);
    const others = { ...seen, served: seen.served.filter((line) => !markOf(line)?.startsWith(gone)) };
    await settled(stage, [kept], others);
    const verdicts = await verdictsIn(stage);
    const lost = missing(seen, verdicts).filter((line) => line.includes(`${gone}/`));
    assert.ok(lost.length > 0, 'nothing was lost with the pod: the test shows nothing');
    // Lost is only what the target saw after the bucket went.
    assert.deepEqual(
      missing(died, verdicts).filter((line) => !lost.includes(line)),
      [],
    );
    const findings = await verified(stage);
    const gaps = findings.filter(({ code }) => code === 'RecorderGap' || code === 'SessionTailMissing');
    assert.ok(
      gaps.some(({ message }) => message.includes(`${FAILURE}/${gone}`)),
      JSON.stringify(findings, null, 1),
    );
    await programmed(stage, '1/1');
  });

  const part = (name: Part, take = () => stage.own.stop(name)) => away(take, () => stage.own.start(name));
});

/** Between these moments the part was not there. */
async function away(take: () => Promise<void>, give: () => Promise<void>): Promise<{ readonly from: number; readonly until: number }> {
  const from = Date.now();
  await take();
  await sleep(Math.max(0, from + AWAY_MS - Date.now()));
  const until = Date.now();
  await give();
  return { from, until };
}

const between = ({ answers }: Seen, from: number, until: number): readonly Answer[] =>
  answers.filter(({ atMs }) => atMs > from && atMs < until);

/** Every answer in this time was the target's, and there were some all the time, on a slow machine too. */
function refusedNone(seen: Seen, from: number, until: number): void {
  const answers = between(seen, from, until);
  assert.deepEqual(
    answers.filter(({ said }) => said !== 'ok'),
    [],
  );
  const atLeast = Math.floor((until - from) / 5000) * AGENTS.length;
  assert.ok(answers.length >= atLeast, `${answers.length} answers in ${until - from} ms, fewer than ${atLeast}`);
}

/** Each of the agents' two workers got an answer of the target after that. */
async function works(stage: Stage, since: number, pods: readonly string[] = AGENTS): Promise<void> {
  await waitFor(
    'work to go on',
    async () => {
      const answers = between(await look(stage, pods), since, Number.POSITIVE_INFINITY).filter(({ said }) => said === 'ok');
      const workers = new Set(answers.map(({ mark }) => mark?.replace(/\d+$/, '')));
      if (workers.size < pods.length * 2) throw new Error(`only ${[...workers].join(', ')} of ${pods.join(', ')}`);
      return true;
    },
    90_000,
    500,
  );
}

/** All that target and agents know of by now is in the bucket, judged. */
async function settled(stage: Stage, pods: readonly string[] = AGENTS, seen?: Seen): Promise<void> {
  const known = seen ?? (await look(stage, pods));
  assert.ok(known.served.some((line) => markOf(line) !== null));
  await waitFor(
    'the verdicts to be in the bucket',
    async () => {
      const rest = missing(known, await verdictsIn(stage));
      if (rest.length > 0) throw new Error(`${rest.length} are not there:\n${rest.slice(0, 10).join('\n')}`);
      return true;
    },
    90_000,
    2000,
  );
}

/** Everything that is in the bucket by now, of all the tests before. */
async function verified(stage: Stage): Promise<readonly Finding[]> {
  const { findings } = await verify('unused', { bucket: stage.bucket, authorities: [stage.caFile] });
  assert.deepEqual(
    findings.filter(({ severity }) => severity === 'error'),
    [],
  );
  return findings;
}

async function programmed(stage: Stage, sidecars: string): Promise<void> {
  await waitFor(
    `status to say ${sidecars}`,
    async () => {
      const { metadata, status } = await stage.get<PolicyObject>('-n', FAILURE, 'accesspolicy', 'load');
      const condition = status?.conditions?.find(({ type }) => type === 'Programmed');
      const now = condition?.status === 'True' && condition.observedGeneration === metadata.generation;
      if (!now || status?.sidecars !== sidecars) throw new Error(JSON.stringify(status));
      return true;
    },
    90_000,
    500,
  );
}

async function leaderOf(stage: Stage): Promise<string> {
  const lease = await stage.get<{ spec: { holderIdentity: string } }>('-n', NAMESPACE, 'lease', 'chaperone-operator');
  return lease.spec.holderIdentity;
}

/** What psql says of a statement that only the policy `extra` allows. */
function extra(stage: Stage): Promise<string> {
  const psql = `psql -h db.${FAILURE}.svc -U app -d app -XAtqc 'SELECT count(*) FROM extra' 2>&1; true`;
  return stage.exec(AGENTS[0], 'agent', psql);
}

async function containers(stage: Stage): Promise<readonly unknown[]> {
  const { items } = await stage.get<{ items: PodObject[] }>('-n', FAILURE, 'pods');
  const of = ({ status }: PodObject) => [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])];
  return items.flatMap((pod) => of(pod).map(({ name, containerID, restartCount }) => [pod.metadata.name, name, containerID, restartCount]));
}

async function metrics(stage: Stage, namespace: string, pod: string, port: number): Promise<string> {
  return (await stage.cluster.kubectl(['get', '--raw', `/api/v1/namespaces/${namespace}/pods/${pod}:${port}/proxy/metrics`])).stdout;
}

async function watchesFresh(stage: Stage): Promise<void> {
  await waitFor('the watches of every replica', async () => {
    for (const { metadata } of (await stage.get<{ items: PodObject[] }>(...OPERATOR)).items) {
      const text = await metrics(stage, NAMESPACE, metadata.name, 8080);
      const of = (name: string) => [...text.matchAll(new RegExp(`^chaperone_operator_watch_${name}\\{.*\\} (\\S+)$`, 'gm'))];
      if (of('connected').length < 5 || of('connected').some(([, value]) => Number(value) < 1)) throw new Error(text);
    }
    return true;
  });
}
