/** The rules in a real kernel: a network namespace for the pod, one for what is outside, and users as in a pod. Needs root and nftables. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { SIDECAR_UID, VALIDATOR_UID } from '#crds/control/names.ts';

const CHILD = join(import.meta.dirname, 'confine.child.ts');
const MAIN = join(import.meta.dirname, 'main.ts');
const PROGRAMS = ['/usr/sbin/nft', '/usr/sbin/ip', '/usr/bin/setpriv', '/usr/bin/nsenter'];
const missing = PROGRAMS.filter((program) => !existsSync(program));
const skip = process.getuid?.() !== 0 ? 'needs root' : missing.length > 0 && `needs ${missing.join(', ')}`;

const POD = `chaperone-pod-${process.pid}`;
const OUTSIDE = `chaperone-out-${process.pid}`;
/** Outside: a protected server, one that nobody names, the cluster's resolver; by IPv4 and IPv6. */
const TARGET = ['10.99.0.2', 'fd99::2'] as const;
const OTHER = ['10.99.0.3', 'fd99::3'] as const;
const RESOLVER = ['10.99.0.53', 'fd99::53'] as const;
const POD_ADDRESS = ['10.99.0.1', 'fd99::1'] as const;
const RULES = ['--dns', RESOLVER[0], '--dns', RESOLVER[1], '--egress'];
const PYTHON = '/usr/bin/python3';
const AGENT = 1000;
/** What a rejected datagram is told: the ICMP error, or the filter's own. */
const REFUSED = /^(EPERM|EACCES|EHOSTUNREACH)$/;

const running: ChildProcess[] = [];
const ip = (...args: string[]) => execFileSync('ip', args, { stdio: ['ignore', 'pipe', 'pipe'] });
const inPod = (uid: number, caps: string, ...command: string[]) => [
  'nsenter',
  `--net=/run/netns/${POD}`,
  'setpriv',
  ...[`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--no-new-privs', `--bounding-set=${caps}`, `--inh-caps=${caps}`],
  ...command,
];
/** As a container of the agent: no capability at all. */
function agent(uid: number, ...tries: string[]): string[] {
  const { stdout, stderr } = run(inPod(uid, '-all', process.execPath, CHILD, 'try', ...tries));
  assert.equal(stderr, '', tries.join(', '));
  return JSON.parse(stdout);
}
const tcp = (port: number, ...addresses: readonly string[]) => addresses.map((address) => `tcp ${address} ${port}`);
const udp = (port: number, ...addresses: readonly string[]) => addresses.map((address) => `udp ${address} ${port}`);
const all = (outcome: string, count: number) => Array.from({ length: count }, () => outcome);
function run([program = '', ...args]: string[]) {
  return spawnSync(program, args, { encoding: 'utf8', timeout: 60_000 });
}
const PINGS = [
  ['AF_INET', 1, TARGET[0]],
  ['AF_INET6', 58, TARGET[1]],
] as const;
/** By the kernel's ping sockets, which need no capability. */
const ping = (family: string, protocol: number, address: string) => {
  const code = `import socket\ns=socket.socket(socket.${family},socket.SOCK_DGRAM,${protocol})\ns.settimeout(1)\ns.sendto(bytes([${protocol === 1 ? 8 : 128},0,0,0,0,1,0,1])+b'x'*8,('${address}',0))\nprint(s.recv(99)!=b'')`;
  return run(inPod(AGENT, '-all', PYTHON, '-c', code));
};
const applyRules = (egress: string) => run(inPod(0, '-all,+net_admin', process.execPath, MAIN, 'rules', ...RULES, egress));
const validate = (egress = 'Deny') => run(inPod(VALIDATOR_UID, '-all', process.execPath, MAIN, 'validate-rules', '--egress', egress));

/** Started, and heard of. */
async function start(command: string[], readyLines = 1): Promise<{ readonly child: ChildProcess; readonly lines: string[] }> {
  const child = spawn(command[0] ?? '', command.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
  running.push(child);
  const lines: string[] = [];
  child.stdout?.setEncoding('utf8').on('data', (text: string) => lines.push(...text.split('\n').filter((line) => line !== '')));
  for (let i = 0; lines.filter((line) => line === '"ready"').length < readyLines; i++) {
    assert.ok(i < 600 && child.exitCode === null, `${command.join(' ')} did not start`);
    await sleep(50);
  }
  return { child, lines };
}
const startSidecar = (egress: string) =>
  start(inPod(SIDECAR_UID, '-all', process.execPath, CHILD, 'sidecar', egress, JSON.stringify({ orders: TARGET })));
async function stop(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await gone;
}

describe('confinement', { skip }, () => {
  let outside: Awaited<ReturnType<typeof start>>[] = [];

  before(async () => {
    for (const name of [POD, OUTSIDE]) {
      ip('netns', 'add', name);
      ip('-n', name, 'link', 'set', 'lo', 'up');
    }
    ip('link', 'add', 'eth0', 'netns', POD, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', OUTSIDE);
    for (const name of [POD, OUTSIDE]) ip('-n', name, 'link', 'set', 'eth0', 'up');
    const give = (name: string, address: string) =>
      ip(
        '-n',
        name,
        'addr',
        'add',
        address.includes(':') ? `${address}/64` : `${address}/24`,
        'dev',
        'eth0',
        ...(address.includes(':') ? ['nodad'] : []),
      );
    for (const address of POD_ADDRESS) give(POD, address);
    for (const address of [...TARGET, ...OTHER, ...RESOLVER]) give(OUTSIDE, address);
    ip('-n', POD, 'route', 'add', 'default', 'via', TARGET[0]);
    ip('-n', POD, '-6', 'route', 'add', 'default', 'via', TARGET[1]);
    run(['nsenter', `--net=/run/netns/${POD}`, 'sysctl', '-qw', 'net.ipv4.ping_group_range=0 2000000']);
    const out = (port: number, addresses: readonly string[]) =>
      start(['nsenter', `--net=/run/netns/${OUTSIDE}`, process.execPath, CHILD, 'outside', String(port), ...addresses], addresses.length);
    outside = [await out(5432, [...TARGET, ...OTHER]), await out(53, RESOLVER)];
  });

  after(async () => {
    for (const child of running) await stop(child);
    for (const name of [POD, OUTSIDE]) run(['ip', 'netns', 'del', name]);
  });

  /** What was seen outside until now. */
  async function seenOutside(): Promise<string[]> {
    const told = await Promise.all(
      outside.map(async ({ child, lines }) => {
        child.kill('SIGUSR2');
        for (let i = 0; !lines.includes('"mark"'); i++) {
          assert.ok(i < 600);
          await sleep(10);
        }
        return lines.splice(0);
      }),
    );
    return told.flat().filter((line) => line.includes('"seen"'));
  }

  async function unseen(act: () => void | Promise<void>): Promise<void> {
    await seenOutside();
    await act();
    assert.deepEqual(await seenOutside(), []);
  }

  test('without rules everything gets out, and the validator says so', () => {
    const places = [...TARGET, ...OTHER];
    assert.deepEqual(agent(AGENT, ...tcp(5432, ...places), ...udp(5432, ...places)), all('outside', 8));
    if (existsSync(PYTHON)) for (const [family, protocol, address] of PINGS) assert.equal(ping(family, protocol, address).stdout, 'True\n');
    const result = validate();
    assert.notEqual(result.status, 0);
    assert.match(result.stderr + result.stdout, /does not arrive at the sidecar/);
  });

  test('rules without a sidecar: nothing gets out (4.10)', async () => {
    const { status, stderr } = applyRules('Deny');
    assert.equal(status, 0, stderr);
    await unseen(() => {
      assert.deepEqual(agent(AGENT, ...tcp(5432, ...TARGET, ...OTHER)), all('ECONNREFUSED', 4));
      for (const outcome of agent(AGENT, ...udp(5432, ...TARGET, ...OTHER))) assert.match(outcome, REFUSED);
    });
    assert.notEqual(validate().status, 0);
  });

  describe('with the sidecar, egress Deny', () => {
    let sidecar: ChildProcess;
    before(async () => {
      sidecar = (await startSidecar('Deny')).child;
    });

    test('the validator finds the rules to hold', () => {
      const { status, stdout, stderr } = validate();
      assert.equal(status, 0, stderr + stdout);
      const told = stdout + stderr;
      for (const line of [
        /TCP over IPv4: redirected/,
        /TCP over IPv6: redirected/,
        /UDP over IPv4: refused/,
        /UDP over IPv6: refused/,
        /rules: refused/,
      ]) {
        assert.match(told, line);
      }
    });

    test('a target is served by its resource, over IPv4 and IPv6, whoever in the pod asks (4.1, 4.12)', async () => {
      await unseen(() => {
        for (const uid of [AGENT, 0, SIDECAR_UID + 1]) assert.deepEqual(agent(uid, ...tcp(5432, ...TARGET)), all('served orders', 2));
      });
    });

    test('any other address is reset: another server, another port, the metadata address (4.1, 4.12)', async () => {
      await unseen(() => {
        const tries = [...tcp(5432, ...OTHER), ...tcp(80, '169.254.169.254'), ...tcp(5433, ...TARGET)];
        assert.deepEqual(agent(AGENT, ...tries), all('ECONNRESET', 5));
      });
    });

    test('no datagram gets out but to the resolver, and there to its port alone (4.12, 4.13)', async () => {
      await unseen(() => {
        for (const outcome of agent(AGENT, ...udp(5432, ...TARGET, ...OTHER), ...udp(443, ...RESOLVER))) assert.match(outcome, REFUSED);
      });
      assert.deepEqual(agent(AGENT, ...udp(53, ...RESOLVER), ...tcp(53, ...RESOLVER)), all('outside', 4));
    });

    test('no ICMP gets out (4.12)', { skip: !existsSync(PYTHON) && 'needs python3' }, () => {
      for (const [family, protocol, address] of PINGS) {
        const { status, stderr } = ping(family, protocol, address);
        assert.notEqual(status, 0);
        assert.match(stderr, /PermissionError|Operation not permitted|timed out|ConnectionRefused/);
      }
    });

    test('a socket bound to the outer interface is not led past the rules (4.12)', {
      skip: !existsSync(PYTHON) && 'needs python3',
    }, async () => {
      const bound = (address: string) =>
        run(
          inPod(
            AGENT,
            '-all',
            PYTHON,
            '-c',
            `import socket\ns=socket.socket(socket.AF_INET)\ns.setsockopt(socket.SOL_SOCKET,25,b'eth0')\ns.settimeout(1)\ns.connect(('${address}',5432))\nprint(s.recv(99))`,
          ),
        );
      await unseen(() => {
        for (const address of [TARGET[0], OTHER[0], '127.0.0.1']) assert.doesNotMatch(bound(address).stdout, /outside/);
      });
    });

    test('the rules can not be changed, as root without the capability either (4.9)', () => {
      for (const uid of [AGENT, 0]) {
        const { status, stderr } = run(inPod(uid, '-all', 'nft', 'flush', 'ruleset'));
        assert.notEqual(status, 0);
        assert.match(stderr, /Operation not permitted|Permission denied/);
      }
    });

    test('the port of the redirect serves nobody who dials it, from inside or outside (4.4)', () => {
      assert.deepEqual(agent(AGENT, ...tcp(15001, '127.0.0.1', '::1')), all('ECONNRESET', 2));
      const fromOutside = ['nsenter', `--net=/run/netns/${OUTSIDE}`, process.execPath, CHILD, 'try', ...tcp(15001, ...POD_ADDRESS)];
      assert.deepEqual(JSON.parse(run(fromOutside).stdout), all('ECONNREFUSED', 2));
    });

    test("the sidecar's own user is not redirected: that is why no container may be it (4.9)", () => {
      assert.deepEqual(agent(SIDECAR_UID, ...tcp(5432, ...TARGET)), all('outside', 2));
    });

    test('a stopped sidecar lets nothing through, and a killed one neither (4.10)', async () => {
      await unseen(async () => {
        sidecar.kill('SIGSTOP');
        assert.deepEqual(agent(AGENT, ...tcp(5432, ...TARGET, ...OTHER)), all('timeout', 4));
        await stop(sidecar);
        assert.deepEqual(agent(AGENT, ...tcp(5432, ...TARGET, ...OTHER)), all('ECONNREFUSED', 4));
      });
    });
  });

  test('egress Audit lets connections out through the sidecar, counted; datagrams stay in', async () => {
    const { child, lines } = await startSidecar('Audit');
    assert.equal(validate('Audit').status, 0);
    assert.deepEqual(agent(AGENT, ...tcp(5432, ...OTHER, TARGET[0])), ['outside', 'outside', 'served orders']);
    assert.match(agent(AGENT, ...udp(5432, OTHER[0]))[0] ?? '', REFUSED);
    child.kill('SIGUSR2');
    while (!lines.some((line) => line.includes('"taken"'))) await sleep(20);
    const taken = lines.map((line) => JSON.parse(line) as { taken?: { destination: string }[] }).find((line) => line.taken !== undefined);
    assert.deepEqual(
      taken?.taken?.toSorted((a, b) => (a.destination < b.destination ? -1 : 1)),
      OTHER.map((destination) => ({ destination, port: 5432, verdict: 'audited', count: 1 })),
    );
    assert.equal(lines.filter((line) => line.includes('unmonitored egress')).length, 2);
    await stop(child);
  });

  test('egress Allow lets datagrams out too', () => {
    assert.equal(applyRules('Allow').status, 0);
    assert.deepEqual(agent(AGENT, ...udp(5432, OTHER[0])), ['outside']);
  });

  test('arguments that make no sense set no rules', () => {
    for (const args of [
      ['--egress', 'deny', '--dns', '10.0.0.1'],
      ['--egress', 'Deny'],
      ['--dns', 'x;flush ruleset'],
      ['--dns', '10.0.0.1', '--uid', '0'],
      ['--x'],
    ]) {
      const { status } = run(inPod(0, '-all,+net_admin', process.execPath, MAIN, 'rules', ...args));
      assert.notEqual(status, 0, args.join(' '));
    }
  });
});
