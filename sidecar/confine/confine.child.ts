/** Parts of confine.test.ts that run in a network namespace, each as a user of its own: the sidecar, what is outside, and the agent's tries. */
import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';
import type { EgressPolicy } from '#crds/control/names.ts';
import type { SnapshotResource } from '#crds/policy/snapshot.ts';
import { Egress } from './egress.ts';
import { TargetTable } from './targets.ts';
import { TransparentListener } from './transparent.ts';

const [role = '', ...args] = process.argv.slice(2);
const say = (line: unknown): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
const log = { info: () => {}, warn: (fields: object, message: string) => say({ warn: message, ...fields }), error: say };

switch (role) {
  case 'sidecar':
    await sidecar(args[0] as EgressPolicy, JSON.parse(args[1] ?? '{}') as Record<string, string[]>);
    break;
  case 'outside':
    for (const host of args.slice(1)) outside(host, Number(args[0]));
    process.on('SIGUSR2', () => say('mark'));
    break;
  case 'try':
    say(
      await Promise.all(
        args.map((one) => {
          const [how, host = '', port] = one.split(' ');
          return how === 'tcp' ? tcp(host, Number(port)) : udp(host, Number(port));
        }),
      ),
    );
    break;
  default:
    throw new Error(`no such role: ${role}`);
}

/** Serves each resource, port 5432, with its name. */
async function sidecar(policy: EgressPolicy, addresses: Record<string, string[]>): Promise<void> {
  const resources = Object.keys(addresses).map(
    (name) =>
      ({
        namespace: 'shop',
        name,
        protocol: 'HTTP',
        address: { host: name, port: 5432 },
        aliases: [],
        policies: [],
      }) as unknown as SnapshotResource,
  );
  const targets = new TargetTable({ resources: () => resources, addresses: async (host) => addresses[host] ?? [], now: Date.now });
  const egress = new Egress({ policy, log, onEgress: () => {}, isRefused: (ip) => ip.startsWith('127.'), now: Date.now });
  const workload = { namespace: 'shop', serviceAccount: 'agent' };
  const listener = new TransparentListener({
    port: 15001,
    workload,
    targets,
    egress,
    log,
    serve: async (_protocol, { stream, resource, loopback }) =>
      void stream.end(`served ${resource.name}${loopback ? '' : ' as a stranger'}`),
  });
  await listener.open();
  say('ready');
  process.on('SIGUSR2', () => say({ taken: egress.take() }));
}

/** Tells whom it has seen, and answers `outside`. At SIGUSR2 it says `mark`: what was seen before is told by then. */
function outside(host: string, port: number): void {
  createServer((socket) => {
    socket.on('error', () => {});
    say({ seen: 'tcp', from: socket.remoteAddress });
    socket.end('outside');
  }).listen({ host, port }, () => say('ready'));
  const datagrams = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  datagrams.on('message', (_, from) => {
    say({ seen: 'udp', from: from.address });
    datagrams.send('outside', from.port, from.address);
  });
  datagrams.bind(port, host);
}

function tcp(host: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect({ host, port, timeout: 4000 });
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    socket.on('end', () => resolve(text));
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.on('timeout', () => {
      resolve('timeout');
      socket.destroy();
    });
  });
}

function udp(host: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    const settle = (text: string): void => {
      clearTimeout(timer);
      socket.close();
      resolve(text);
    };
    const timer = setTimeout(() => settle('silence'), 4000);
    socket.on('message', (message) => settle(message.toString()));
    socket.on('error', (error: NodeJS.ErrnoException) => settle(error.code ?? error.message));
    socket.connect(port, host, () => socket.send('hello'));
  });
}
