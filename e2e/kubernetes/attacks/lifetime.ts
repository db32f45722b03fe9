/** 4.10, 4.14 and 4.15: before and after the sidecar, more than it can take, and its recordings. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CONTAINERS } from '#crds/control/names.ts';
import { limitMemory } from '#e2e/cluster/cgroups.ts';
import { current } from '#e2e/cluster/cluster.ts';
import { inNode } from '#e2e/cluster/namespace.ts';
import { ctr } from '#e2e/cluster/node.ts';
import { waitFor } from '#e2e/cluster/ready.ts';
import { apply } from '#e2e/cluster/test-cluster.ts';
import { restarts } from './inside.ts';
import { agentPod, MODES, OUTSIDE_PORT, SSN, type Stage, said } from './stage.ts';
import { TRY, type Try } from './tries.ts';

const NO_NODE = 'it takes the node, which only our own cluster shows, to kill a container';
const QUERY = 'SELECT ssn FROM customers';
/** Dials without pause for so many seconds; at the end, how often each answer came. ARGV: host, port, seconds. */
const DIAL = `
import collections, errno, socket, sys, time
seen, end = collections.Counter(), time.time() + float(sys.argv[3])
print('begun', flush=True)
while time.time() < end:
    s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET)
    s.settimeout(1)
    try:
        s.connect((sys.argv[1], int(sys.argv[2])))
        seen[s.recv(99).decode(errors='replace') or 'closed'] += 1
    except TimeoutError: seen['silence'] += 1
    except OSError as e: seen[errno.errorcode.get(e.errno, str(e))] += 1
    s.close()
    time.sleep(0.01)
for answer, count in seen.items(): print(answer, count)
`;
/** Opens as many connections as asked, holds them, says how many are open and how one more fares elsewhere. ARGV: host, port, count, other host, other port. */
const FLOOD = `
import errno, resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
held, failed = [], 0
for _ in range(int(sys.argv[3])):
    s = socket.socket(); s.settimeout(2)
    try: s.connect((sys.argv[1], int(sys.argv[2]))); held.append(s)
    except OSError: failed += 1
    if failed > 200: break
s = socket.socket(); s.settimeout(5)
try: s.connect((sys.argv[4], int(sys.argv[5]))); said = s.recv(99).decode() or 'closed'
except TimeoutError: said = 'silence'
except OSError as e: said = errno.errorcode.get(e.errno, str(e))
print('held', len(held), 'failed', failed, 'meanwhile', said)
`;
/**
 * Logs in as often as asked and sends the beginning of a statement of 60 MB on each, all but its end; then says how many were taken so far.
 * ARGV: host, count.
 */
const STUFF = `
import socket, struct, sys, threading
startup = b'user\\0app\\0database\\0shop\\0\\0'
sent, ended = [0], [0]
def stuff():
    s = socket.create_connection((sys.argv[1], 5432), 10); s.settimeout(20)
    try:
        s.sendall(struct.pack('>II', 8 + len(startup), 196608) + startup)
        said = b''
        while b'Z\\0\\0\\0\\5' not in said:
            more = s.recv(65536)
            if not more: raise OSError('closed')
            said += more
        s.sendall(b'Q' + struct.pack('>I', 60_000_000) + b'SELECT 1 --')
        for _ in range(58): s.sendall(b'x' * 1_000_000); sent[0] += 1
    except OSError: ended[0] += 1
threads = [threading.Thread(target=stuff) for _ in range(int(sys.argv[2]))]
for t in threads: t.start()
for t in threads: t.join()
print('MB', sent[0], 'ended', ended[0])
`;

export function attacksOverTime(stageOf: () => Stage): void {
  const outside = () => stageOf().addresses.outside;

  describe('4.10 before the sidecar is ready, and after it died', () => {
    for (const agent of ['free', 'transparent', 'explicit'] as const) {
      it(`4.10 ${agent}${agent === 'free' ? ', the control' : ''}: an init container that dials`, async () => {
        const { cluster, kubectl, namespaces } = stageOf();
        const tries: Try[] = [
          ...outside().map((host): Try => ['tcp', host, OUTSIDE_PORT]),
          ...outside().map((host): Try => ['udp', host, OUTSIDE_PORT]),
        ];
        const plain = agentPod(cluster, 'early');
        const init = { ...plain.spec.containers[0], name: 'early', command: ['python3', '-c', TRY, JSON.stringify(tries), 'early'] };
        await apply(cluster, namespaces[agent], [{ ...plain, spec: { ...plain.spec, initContainers: [init] } }]);
        await kubectl(['-n', namespaces[agent], 'wait', '--for=condition=Initialized', 'pod/early', '--timeout=90s']);
        const lines = (await kubectl(['-n', namespaces[agent], 'logs', 'early', '-c', 'early'])).stdout.trimEnd().split('\n');
        assert.equal(lines.length, tries.length);
        // Explicit mode claims nothing here: its agent is free to send, at this time as at any other.
        for (const line of lines)
          assert.match(line, agent === 'transparent' ? /^(ECONNRESET|ECONNREFUSED|EPERM|EHOSTUNREACH|EACCES)$/ : /^outside$/);
        await kubectl(['-n', namespaces[agent], 'delete', 'pod', 'early', '--wait=false']);
      });
    }

    for (const signal of ['SIGKILL', 'SIGSTOP', 'out of memory'] as const) {
      it(`4.10 transparent: while the sidecar is dead or stopped (${signal}) nothing leaves the pod`, async (t) => {
        if (stageOf().cluster.own === null) return t.skip(NO_NODE);
        const [host = ''] = outside();
        assert.match((await stageOf().run('free', ['python3', '-c', DIAL, host, String(OUTSIDE_PORT), '2'])).out, /^outside \d+$/m);
        const dialling = stageOf().run('transparent', ['python3', '-c', DIAL, host, String(OUTSIDE_PORT), '12']);
        await new Promise((resolve) => setTimeout(resolve, 2500));
        const before = await restarts(stageOf(), 'transparent');
        const back =
          signal === 'out of memory'
            ? await starveSidecar(stageOf(), 'transparent')
            : await signalSidecar(stageOf(), 'transparent', signal);
        const { out } = await dialling;
        await back();
        assert.match(out, /^ECONN(RESET|REFUSED) \d+$/m);
        if (signal === 'SIGSTOP') assert.match(out, /^silence \d+$/m, 'it was stopped');
        else await waitFor('the restart', async () => (await restarts(stageOf(), 'transparent')) > before || undefined, 60_000);
        assert.doesNotMatch(out, /^outside/m);
        await served(stageOf(), 'transparent');
      });
    }

    it('4.10 explicit: while the sidecar is dead its address refuses, and nobody else answers for it', async (t) => {
      if (stageOf().cluster.own === null) return t.skip(NO_NODE);
      const code = `import subprocess, sys, time\nprint('begun', flush=True)\nend = time.time() + 8\nwhile time.time() < end: print(subprocess.run(sys.argv[1:], capture_output=True, text=True))`;
      const dialling = stageOf().run('explicit', [
        'python3',
        '-c',
        code,
        'psql',
        '-w',
        '-h',
        stageOf().host,
        '-U',
        'app',
        '-d',
        'shop',
        '-Atc',
        QUERY,
      ]);
      await new Promise((resolve) => setTimeout(resolve, 2500));
      await signalSidecar(stageOf(), 'explicit', 'SIGKILL');
      const { out } = await dialling;
      assert.match(out, /Connection refused/);
      assert.ok(!out.includes(SSN));
      await served(stageOf(), 'explicit');
    });

    it('4.5 explicit: who takes the port of a dead sidecar is noticed: the sidecar does not get ready, and the squatter has nobody to talk to but itself', async (t) => {
      if (stageOf().cluster.own === null) return t.skip(NO_NODE);
      const code = `import socket, time
end = time.time() + 40
while time.time() < end:
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try: s.bind(('127.0.1.1', 5432)); s.listen(); break
    except OSError: s.close()
print('taken', flush=True); time.sleep(15)`;
      const squatting = stageOf().run('explicit', ['python3', '-c', code], { timeoutMs: 90_000 });
      await new Promise((resolve) => setTimeout(resolve, 2000));
      await signalSidecar(stageOf(), 'explicit', 'SIGKILL');
      await new Promise((resolve) => setTimeout(resolve, 10_000));
      const { kubectl, namespaces } = stageOf();
      const ready = (
        await kubectl(['-n', namespaces.explicit, 'get', 'pod', 'agent', '-o', 'jsonpath={.status.initContainerStatuses[0].ready}'])
      ).stdout;
      assert.match((await squatting).out, /taken/);
      assert.equal(ready, 'false');
      await served(stageOf(), 'explicit');
    });
  });

  describe('4.11 no rules', () => {
    it('4.11 transparent: the validator of a pod that has no rules fails, so its containers do not start; the same where they are passes', async () => {
      const { cluster, kubectl, namespaces } = stageOf();
      const { stdout } = await kubectl(['-n', namespaces.transparent, 'get', 'pod', 'agent', '-o', 'json']);
      const { spec } = JSON.parse(stdout) as { spec: { initContainers: { name: string; volumeMounts?: unknown }[] } };
      const injected = spec.initContainers.find(({ name }) => name === CONTAINERS.validator);
      assert.ok(injected);
      const validator = { ...injected, name: 'check', volumeMounts: [] };
      const plain = agentPod(cluster, 'ruleless', { initContainers: [validator], restartPolicy: 'Never' });
      await apply(cluster, namespaces.free, [plain]);
      await kubectl(['-n', namespaces.free, 'wait', '--for=jsonpath={.status.phase}=Failed', 'pod/ruleless', '--timeout=90s'], {
        timeoutMs: 100_000,
      });
      assert.match((await said(kubectl(['-n', namespaces.free, 'logs', 'ruleless', '-c', 'check']))).out, /not|rule|reach/i);
      const path = `{.status.initContainerStatuses[?(@.name=="${CONTAINERS.validator}")].state.terminated.exitCode}`;
      assert.equal((await kubectl(['-n', namespaces.transparent, 'get', 'pod', 'agent', '-o', `jsonpath=${path}`])).stdout, '0');
    });
  });

  describe('4.14 more than the sidecar can take', () => {
    for (const mode of MODES) {
      it(`4.14 ${mode}: six thousand connections: it refuses or holds, is not restarted, opens nothing, and serves again afterwards`, async () => {
        const [other = ''] = outside();
        const before = await restarts(stageOf(), mode);
        const target = mode === 'explicit' ? stageOf().host : (stageOf().addresses.database[0] ?? '');
        const args = [target, '5432', '6000', other, String(OUTSIDE_PORT)];
        const { out } = await stageOf().run(mode, ['python3', '-c', FLOOD, ...args], { timeoutMs: 240_000 });
        assert.match(out, /^held \d+ failed \d+ meanwhile /m);
        if (mode === 'transparent') assert.doesNotMatch(out, /meanwhile outside/);
        await served(stageOf(), mode);
        assert.equal(await restarts(stageOf(), mode), before);
      });

      it(`4.14 ${mode}: forty statements of 60 MB that never end: it ends them, is not killed for its memory, and serves meanwhile`, async () => {
        const before = await restarts(stageOf(), mode);
        const { out } = await stageOf().run(mode, ['python3', '-c', STUFF, stageOf().host, '40'], { timeoutMs: 240_000 });
        assert.match(out, /^MB \d+ ended \d+$/m);
        assert.equal(await restarts(stageOf(), mode), before, out);
        await served(stageOf(), mode);
      });
    }
  });

  describe('4.15 recordings', () => {
    for (const mode of MODES) {
      it(`4.15 ${mode}: there is a recording of the session, and no path to it in the agent's container, nor a right to what the operator keeps`, async () => {
        await served(stageOf(), mode);
        const { kubectl, namespaces } = stageOf();
        const { out } = await stageOf().run(mode, [
          'find',
          '/',
          '-xdev',
          '(',
          '-name',
          '*.seg*',
          '-o',
          '-path',
          '*chaperone*',
          ')',
          '-not',
          '-path',
          '/proc/*',
        ]);
        assert.doesNotMatch(out, /^\/.*chaperone/m);
        const as = ['--as', `system:serviceaccount:${namespaces[mode]}:agent`];
        for (const what of ['approvalrequests.chaperone.dev', 'sidecarslices.chaperone.dev', 'leases']) {
          assert.match((await said(kubectl(['auth', 'can-i', 'update', what, '-n', 'chaperone-system', ...as]))).out, /^no\b/m);
        }
      });
    }
  });
}

/** Psql gets its masked answer; after what was done to the sidecar this takes a moment. */
async function served(stage: Stage, mode: (typeof MODES)[number]): Promise<void> {
  await waitFor(
    `the sidecar in ${mode} mode`,
    async () => {
      const { code, out } = await stage.psql(mode, stage.host, QUERY);
      assert.ok(!out.includes(SSN));
      return code === 0 || undefined;
    },
    90_000,
    500,
  );
}

/** From the node, as nobody in the cluster can. What it gives lets the container go on. */
async function signalSidecar(stage: Stage, mode: (typeof MODES)[number], signal: 'SIGKILL' | 'SIGSTOP'): Promise<() => Promise<void>> {
  const id = await sidecarContainer(stage, mode);
  const dir = (await current())?.dir ?? '';
  const send = (name: string) => ctr(dir, ['tasks', 'kill', '--signal', name, id]);
  await send(signal);
  return async () => void (signal === 'SIGSTOP' && (await send('SIGCONT')));
}

/** Takes the memory from the sidecar's container, so that the kernel kills what is in it. The next container has a control group of its own. */
async function starveSidecar(stage: Stage, mode: (typeof MODES)[number]): Promise<() => Promise<void>> {
  const id = await sidecarContainer(stage, mode);
  const dir = (await current())?.dir ?? '';
  const tasks = await ctr(dir, ['tasks', 'list']);
  const pid = new RegExp(`^${id}\\s+(\\d+)`, 'm').exec(tasks)?.[1];
  await limitMemory(await inNode(dir, ['cat', `/proc/${pid}/cgroup`]), 4 * 1024 * 1024);
  const path = '{.status.initContainerStatuses[?(@.name=="chaperone")].lastState.terminated.reason}';
  const get = ['-n', stage.namespaces[mode], 'get', 'pod', 'agent', '-o', `jsonpath=${path}`];
  // What it is sent needs memory, which it has not.
  const filling = stage.run(mode, ['python3', '-c', STUFF, stage.host, '10'], { timeoutMs: 120_000 });
  return async () => {
    await filling;
    await waitFor('the kill', async () => (await stage.kubectl(get)).stdout === 'OOMKilled' || undefined, 60_000);
  };
}

async function sidecarContainer({ kubectl, namespaces }: Stage, mode: (typeof MODES)[number]): Promise<string> {
  const path = '{.status.initContainerStatuses[?(@.name=="chaperone")].containerID}';
  const { stdout } = await kubectl(['-n', namespaces[mode], 'get', 'pod', 'agent', '-o', `jsonpath=${path}`]);
  return stdout.replace('containerd://', '');
}
