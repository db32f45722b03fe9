/** 4.2 to 4.5: from the agent's container, at what it shares with the sidecar: the pod's network, and nothing else. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { waitFor } from '#e2e/cluster/ready.ts';
import { apply } from '#e2e/cluster/test-cluster.ts';
import { agentPod, MODES, PASSWORD, type Stage } from './stage.ts';
import { LISTENERS, SQUAT } from './tries.ts';

/** Every file that can be read, but for the image's programs, and every environment and command line that is shown: those that hold the word. */
const SEARCH = `
import os, sys
word = sys.argv[1].encode()
def holds(path):
    # Devices would never end.
    if not path.startswith('/proc/') and not os.path.isfile(path): return False
    try:
        with open(path, 'rb') as f: return word in f.read(1 << 24)
    except OSError: return False
for top, folders, files in os.walk('/'):
    folders[:] = [f for f in folders if os.path.join(top, f) not in ('/proc', '/sys', '/usr')]
    for name in files:
        if holds(os.path.join(top, name)): print(os.path.join(top, name))
for pid in filter(str.isdigit, os.listdir('/proc')):
    if int(pid) != os.getpid():
        for what in ('environ', 'cmdline'):
            if holds(f'/proc/{pid}/{what}'): print(f'/proc/{pid}/{what}')
`;
/** Sends the signal to all that can be seen, itself left out, and says who that was. */
const SIGNAL = `
import os, signal, sys
for pid in filter(str.isdigit, os.listdir('/proc')):
    if int(pid) in (1, os.getpid(), os.getppid()): continue
    name = open(f'/proc/{pid}/comm').read().strip()
    try: os.kill(int(pid), int(sys.argv[1])); print('sent', name)
    except OSError as e: print(e.strerror, name)
`;
const INSPECTOR = 9229;

export function attacksFromInside(stageOf: () => Stage): void {
  const python = (agent: (typeof MODES)[number] | 'free', code: string, args: readonly string[] = [], more = {}) =>
    stageOf().run(agent, ['python3', '-c', code, ...args], more);

  describe('4.2 credentials and files', () => {
    it('4.2 control: a pod that is given the Secret, as a file and in its environment, is found out by the same search', async () => {
      const { cluster, kubectl, namespaces } = stageOf();
      const plain = agentPod(cluster, 'holder');
      const [container] = plain.spec.containers;
      const holder = {
        ...container,
        env: [{ name: 'PGPASSWORD', value: PASSWORD }],
        volumeMounts: [{ name: 'secret', mountPath: '/secret' }],
      };
      const volumes = [{ name: 'secret', secret: { secretName: 'mine' } }];
      await apply(cluster, namespaces.free, [
        { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'mine' }, stringData: { password: PASSWORD } },
        { ...plain, spec: { ...plain.spec, containers: [holder], volumes } },
      ]);
      await kubectl(['-n', namespaces.free, 'wait', '--for=condition=Ready', 'pod/holder', '--timeout=60s']);
      const { out } = await python('free', SEARCH, [PASSWORD], { pod: 'holder' });
      assert.match(out, /^\/secret\/.*password$/m);
      assert.match(out, /^\/proc\/1\/environ$/m);
    });

    for (const mode of MODES) {
      it(`4.2 ${mode}: no file, environment or command line in the agent's container has the password, and the sidecar's folders are not there`, async () => {
        assert.equal((await python(mode, SEARCH, [PASSWORD])).out, '');
        const looked = await stageOf().run(mode, ['ls', '/var/run/secrets/chaperone.dev', '/var/lib/chaperone', '/app/sidecar.js']);
        assert.equal(looked.out.match(/No such file or directory/g)?.length, 3, looked.out);
        // Nor is it in the pod as the API server shows it, to whoever may read pods.
        const { kubectl, namespaces } = stageOf();
        const { stdout } = await kubectl(['-n', namespaces[mode], 'get', 'pod,secret,configmap', '-o', 'yaml']);
        assert.ok(!stdout.includes(PASSWORD) && !stdout.includes(Buffer.from(PASSWORD).toString('base64')));
      });
    }
  });

  describe('4.3 the process of the sidecar', () => {
    it("4.3 control: a Node that shares its processes opens its inspector at SIGUSR1; with the sidecar's flags it does not", async () => {
      const { cluster, kubectl, namespaces } = stageOf();
      for (const [name, flags] of [
        ['bare', []],
        ['flags', ['--disable-sigusr1', '--permission', '--allow-net']],
      ] as const) {
        const node = {
          ...agentPod(cluster).spec.containers[0],
          name: 'node',
          image: cluster.images.sidecar,
          command: ['/usr/bin/node', ...flags, '-e', 'setInterval(() => {}, 1000)'],
        };
        const plain = agentPod(cluster, name);
        const spec = { ...plain.spec, shareProcessNamespace: true, containers: [...plain.spec.containers, node] };
        await apply(cluster, namespaces.free, [{ ...plain, spec }]);
        await kubectl(['-n', namespaces.free, 'wait', '--for=condition=Ready', `pod/${name}`, '--timeout=60s']);
        await waitFor(
          'Node',
          async () => /sent (node|MainThread)/.test((await python('free', SIGNAL, ['10'], { pod: name })).out) || undefined,
          20_000,
        );
        await new Promise((resolve) => setTimeout(resolve, 1500));
        assert.match((await scan('free', [INSPECTOR], name)).out, name === 'bare' ? /^9229 open$/m : /^9229 refused$/m);
      }
    });

    for (const mode of MODES) {
      it(`4.3 ${mode}: the agent sees no process but its own, signals nobody, and the inspector stays shut`, async () => {
        const seen = await python(
          mode,
          "import os\nfor p in filter(str.isdigit, os.listdir('/proc')): print(open(f'/proc/{p}/cmdline').read())",
        );
        assert.doesNotMatch(seen.out, /sidecar|node/);
        for (const signal of ['10', '12', '19', '9']) assert.doesNotMatch((await python(mode, SIGNAL, [signal])).out, /sent/);
        assert.match((await scan(mode, [INSPECTOR])).out, /^9229 refused$/m);
        assert.equal(await restarts(stageOf(), mode), 0);
      });
    }
    const scan = (agent: (typeof MODES)[number] | 'free', ports: readonly number[], pod = 'agent') =>
      python(
        agent,
        "import socket, sys\nfor p in sys.argv[1:]: print(p, 'open' if socket.socket().connect_ex(('127.0.0.1', int(p))) == 0 else 'refused')",
        ports.map(String),
        { pod },
      );
  });

  describe('4.4 an admin surface on the shared loopback', () => {
    it('4.4 control: the list has what the agent itself opens, abstract sockets too', async () => {
      const own = `import socket, subprocess, sys
a = socket.socket(); a.bind(('127.0.0.1', 40404)); a.listen()
b = socket.socket(socket.AF_UNIX); b.bind('\\0mine'); b.listen()
print(open('/proc/net/unix').read()); print(subprocess.run([sys.executable, '-c', sys.argv[1]], capture_output=True, text=True).stdout)`;
      const { out } = await python('free', own, [LISTENERS]);
      assert.match(out, /@mine/);
      assert.match(out, /^127\.0\.0\.1 40404$/m);
    });

    for (const mode of MODES) {
      it(`4.4 ${mode}: nobody listens but health, and what serves the agent`, async () => {
        const { out } = await python(mode, LISTENERS);
        const listeners = out.trimEnd().replace('0.0.0.0 15020', ':: 15020').split('\n');
        const wanted = mode === 'explicit' ? ['127.0.1.1 5432', ':: 15020'] : ['127.0.0.1 15001', ':: 15020', '::1 15001'];
        assert.deepEqual(listeners, wanted);
      });

      it(`4.4 ${mode}: no abstract socket, and nothing that health and metrics would obey`, async () => {
        assert.doesNotMatch((await stageOf().run(mode, ['cat', '/proc/net/unix'])).out, /@/);
        const script =
          'for one in $1; do curl -s -m 5 -o /dev/null -w "$one %{http_code}\\n" -X "${one%:*}" "http://127.0.0.1:15020${one#*:}"; done; true';
        const ask = async (requests: readonly string[]) =>
          (await stageOf().run(mode, ['bash', '-c', script, '-', requests.join(' ')])).out.trimEnd().split('\n');
        assert.deepEqual(await ask(['GET:/readyz', 'GET:/metrics']), ['GET:/readyz 200', 'GET:/metrics 200']);
        const paths = ['/metrics', '/readyz', '/quitquitquit', '/shutdown', '/config', '/debug/pprof', '/approvals', '/json/list'];
        const changes = ['POST', 'PUT', 'DELETE', 'PATCH', 'CONNECT'].flatMap((method) => paths.map((path) => `${method}:${path}`));
        const refused = await ask([...changes, ...paths.slice(2).map((path) => `GET:${path}`)]);
        assert.equal(refused.length, changes.length + paths.length - 2);
        for (const line of refused) assert.match(line, / (404|405|000)$/);
        const metrics = (await stageOf().run(mode, ['curl', '-s', 'http://127.0.0.1:15020/metrics'])).out;
        assert.ok(metrics.includes('# TYPE') && !metrics.includes(PASSWORD));
        assert.equal(await restarts(stageOf(), mode), 0);
      });
    }
  });

  describe("4.5 squatting on the sidecar's ports", () => {
    it('4.5 control: where there is no sidecar all of them can be taken', async () => {
      const { out } = await python('free', SQUAT, ['127.0.1.1', '5432', '127.0.0.1', '15001', '0.0.0.0', '15020']);
      assert.deepEqual(out.match(/listening/g)?.length, 3, out);
    });

    for (const mode of MODES) {
      it(`4.5 ${mode}: none can be taken or shared, and its other addresses gain nothing: clients still come to the sidecar`, async () => {
        const own =
          mode === 'explicit' ? ['127.0.1.1', '5432', '0.0.0.0', '5432'] : ['127.0.0.1', '15001', '::1', '15001', '0.0.0.0', '15001'];
        const { out } = await python(mode, SQUAT, [
          ...own,
          '0.0.0.0',
          '15020',
          '::',
          '15020',
          '127.0.0.1',
          '15020',
          '127.0.0.2',
          '5432',
          '::1',
          '5432',
        ]);
        const lines = out.trimEnd().split('\n');
        for (const line of lines.slice(0, -2)) assert.match(line, /EADDRINUSE$/, line);
        // Documented: it can listen there, and talk to itself.
        for (const line of lines.slice(-2)) assert.match(line, /listening$/);
        const { host } = stageOf();
        const both = `${SQUAT}\nimport subprocess\nprint(subprocess.run(['psql', '-w', '-h', '${host}', '-U', 'app', '-d', 'shop', '-Atc', 'SELECT id FROM customers'], capture_output=True, text=True))`;
        assert.match((await python(mode, both, ['127.0.0.2', '5432', '::1', '5432', '127.0.0.1', '5432'])).out, /stdout='1\\n'/);
      });
    }
  });
}

/** Of the sidecar's container. */
export async function restarts({ kubectl, namespaces }: Stage, mode: (typeof MODES)[number]): Promise<number> {
  const path = '{.status.initContainerStatuses[?(@.name=="chaperone")].restartCount}';
  return Number((await kubectl(['-n', namespaces[mode], 'get', 'pod', 'agent', '-o', `jsonpath=${path}`])).stdout);
}
