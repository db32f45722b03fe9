/** 4.1 and 4.12 to 4.13: around the sidecar, by any packet. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { OUTSIDE_PORT, PASSWORD, SSN, type Stage } from './stage.ts';
import type { Try } from './tries.ts';

const QUERY = 'SELECT ssn FROM customers';
/** Of clouds: where a node's own credentials are to be had. */
const METADATA = '169.254.169.254';

export function attacksByPackets(stageOf: () => Stage): void {
  const database = () => stageOf().addresses.database;
  const outside = () => stageOf().addresses.outside;
  const to = (how: Try[0], hosts: readonly string[], port = OUTSIDE_PORT): Try[] => hosts.map((host) => [how, host, port]);
  const notOne = (results: readonly string[], count: number) => {
    assert.equal(results.length, count);
    for (const result of results) assert.doesNotMatch(result, /^(outside|silence|closed)$/, results.join(', '));
  };

  it('4.1 control: a pod without a sidecar that has the password reads what is protected, and reaches what nobody names', async () => {
    assert.deepEqual(await stageOf().psql('free', stageOf().host, QUERY, PASSWORD), { code: 0, out: `${SSN}\n` });
    for (const host of database()) assert.equal((await stageOf().psql('free', host, QUERY, PASSWORD)).out, `${SSN}\n`);
    assert.deepEqual(new Set(await stageOf().tries('free', to('tcp', outside()))), new Set(['outside']));
  });

  for (const mode of ['explicit', 'transparent'] as const) {
    it(`4.1 ${mode}: by its name the target answers through the sidecar, without a password and masked`, async () => {
      const { code, out } = await stageOf().psql(mode, stageOf().host, QUERY);
      assert.equal(code, 0, out);
      assert.notEqual(out.trim(), '');
      assert.doesNotMatch(out, new RegExp(SSN));
    });
  }

  it('4.1 explicit: dialled directly the target is there, and lets nobody in who has no credential', async () => {
    for (const host of [...database(), `alias.${stageOf().shop}.svc`]) {
      assert.match((await stageOf().psql('explicit', host, QUERY)).out, /no password supplied/);
      assert.match((await stageOf().psql('explicit', host, QUERY, 'guessed')).out, /password authentication failed/);
    }
    // What Explicit mode doesn't claim: it stops no packet.
    assert.deepEqual(new Set(await stageOf().tries('explicit', to('tcp', outside()))), new Set(['outside']));
  });

  it('4.1 transparent: dialled directly, by address or by another name, the target is not there', async () => {
    for (const host of [...database(), `alias.${stageOf().shop}.svc`]) {
      const { out } = await stageOf().psql('transparent', host, QUERY, PASSWORD);
      assert.doesNotMatch(out, new RegExp(SSN), host);
      assert.match(out, /Connection refused|reset by peer|closed the connection unexpectedly|redacted/i, host);
    }
  });

  it('4.1 transparent: nothing that no ProtectedResource names is reached: a pod, the node, the API server, the metadata address', async () => {
    const node = (await stageOf().kubectl(['get', 'nodes', '-o', 'jsonpath={.items[0].status.addresses[0].address}'])).stdout;
    const { stdout: api } = await stageOf().kubectl(['get', 'service', 'kubernetes', '-o', 'jsonpath={.spec.clusterIP}']);
    const tries: Try[] = [
      ...to('tcp', outside()),
      ...to('tcp', outside(), 53),
      ...to('tcp', outside(), 443),
      ['tcp', node, 10250],
      ['tcp', api, 443],
    ];
    const control = await stageOf().tries('free', tries);
    for (const [i, result] of control.entries()) assert.match(result, /^(outside|silence|closed)$/, String(tries[i]));
    notOne(await stageOf().tries('transparent', [...tries, ['tcp', METADATA, 80]]), tries.length + 1);
  });

  it('4.12 control: UDP and ICMP go out of a pod without a sidecar, and of one in Explicit mode', async () => {
    const tries = [...to('udp', outside()), ...to('udp', outside(), 443), ...to('icmp', outside())];
    for (const agent of ['free', 'explicit'] as const) {
      assert.deepEqual(
        await stageOf().tries(agent, tries),
        tries.map(() => 'outside'),
        agent,
      );
    }
  });

  it('4.12 transparent: no UDP, QUIC or ICMP, by IPv4 or IPv6, and no packet arrives although its sender can hear nothing', async () => {
    const word = `smuggled-${stageOf().shop}`;
    const datagrams = [...to('udp', outside()), ...to('udp', outside(), 443)];
    const before = await echoes();
    notOne(await stageOf().tries('transparent', datagrams, word), datagrams.length);
    // A refused echo by IPv6 is an error that the kernel tells nobody of: so count at the other end.
    for (const result of await stageOf().tries('transparent', to('icmp', outside())))
      assert.match(result, /^(EPERM|EACCES|EHOSTUNREACH|silence)$/);
    assert.equal(await echoes(), before);
    await stageOf().tries('free', [...to('udp', outside()), ...to('icmp', outside())], `${word}-control`);
    assert.equal(await echoes(), before + outside().length);
    const { stdout } = await stageOf().kubectl(['-n', stageOf().shop, 'logs', 'outside']);
    assert.match(stdout, new RegExp(`datagram ${word}-control`));
    assert.doesNotMatch(stdout, new RegExp(`datagram ${word}$`, 'm'));
  });
  /** Echo requests that have arrived outside, of both families. */
  const echoes = async () => {
    const code = `
lines = [l.split() for l in open('/proc/net/snmp') if l.startswith('Icmp:')]
total = int(dict(zip(*lines))['InEchos'])
try: total += sum(int(l.split()[1]) for l in open('/proc/net/snmp6') if l.startswith('Icmp6InEchos'))
except OSError: pass
print(total)`;
    const { stdout } = await stageOf().kubectl(['-n', stageOf().shop, 'exec', 'outside', '--', 'python3', '-c', code]);
    return Number(stdout);
  };

  it('4.12 SCTP, where the kernel has it', async (t) => {
    const [free] = await stageOf().tries('free', to('sctp', outside().slice(0, 1)));
    if (free !== 'outside') return t.skip(`the control says ${free}: this kernel has no SCTP`);
    notOne(await stageOf().tries('transparent', to('sctp', outside())), outside().length);
  });

  it('4.12 packets of its own making: no container of the agent gets a raw socket', async () => {
    for (const mode of ['explicit', 'transparent'] as const) {
      assert.deepEqual(
        await stageOf().tries(mode, to('raw', outside())),
        outside().map(() => 'EPERM'),
        mode,
      );
    }
  });

  it("4.13 transparent: another resolver than the cluster's is not reached, by UDP or TCP", async () => {
    const tries = [...to('udp', outside(), 53), ...to('tcp', outside(), 53)];
    assert.deepEqual(
      await stageOf().tries('free', tries),
      tries.map(() => 'outside'),
    );
    notOne(await stageOf().tries('transparent', tries), tries.length);
  });

  it("4.13 not covered: a name goes to the cluster's resolver, whatever it says", async () => {
    const name = `${'a'.repeat(60)}.${'b'.repeat(60)}.${stageOf().shop}.svc.cluster.local`;
    const code = `import socket\ntry: socket.getaddrinfo('${name}', 1)\nexcept socket.gaierror as e: print(e)`;
    for (const agent of ['free', 'explicit', 'transparent'] as const) {
      // "Not known" is the resolver's answer; without one it would be a temporary failure.
      assert.match((await stageOf().run(agent, ['python3', '-c', code])).out, /Name or service not known|No address associated/, agent);
    }
  });
}
