import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { parseArgs } from 'node:util';
import { EGRESS_POLICIES, type EgressPolicy } from '#crds/control/names.ts';
import { ConfinementError, nft } from './apply-rules.ts';
import { NONCE_BYTES, PROBE, probeAnswer } from './probe.ts';

const DIAL_TIMEOUT_MS = 5_000;
/** A packet that was let out says nothing: so long without an error counts as out. */
const UDP_WAIT_MS = 500;
/** There is no way out by this family at all. */
const NO_ROUTE = ['ENETUNREACH', 'EADDRNOTAVAIL', 'EAFNOSUPPORT'];

/**
 * `confine.js validate-rules --egress Deny`, run as the agent's containers are: proves from their side that the rules hold, before any of
 * them starts. Gives what it has found, one line each. Rejects with ConfinementError where one does not hold.
 */
export async function validateRules(args: readonly string[]): Promise<string[]> {
  const egress = readEgress(args);
  return [
    `TCP over IPv4: ${await dialled(PROBE.v4, false)}`,
    `TCP over IPv6: ${await dialled(PROBE.v6, true)}`,
    `UDP over IPv4: ${await sent('udp4', PROBE.v4, egress)}`,
    `UDP over IPv6: ${await sent('udp6', PROBE.v6, egress)}`,
    `changing the rules: ${await changed()}`,
  ];
}

function readEgress(args: readonly string[]): EgressPolicy {
  const { egress = 'Deny' } = parseArgs({ args: [...args], options: { egress: { type: 'string' } }, strict: true }).values;
  const policy = EGRESS_POLICIES.find((one) => one === egress);
  if (policy === undefined) throw new ConfinementError(`--egress ${egress}: write ${EGRESS_POLICIES.join(' or ')}`);
  return policy;
}

/** A connection to an address that nobody has must arrive at the sidecar, which proves itself by its answer to a nonce. */
function dialled(host: string, mayBeAbsent: boolean): Promise<string> {
  const nonce = randomBytes(NONCE_BYTES);
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: PROBE.port });
    const chunks: Buffer[] = [];
    const fail = (why: string) => {
      socket.destroy();
      reject(new ConfinementError(`a connection to ${host} does not arrive at the sidecar (${why}): the rules do not hold`));
    };
    socket.setTimeout(DIAL_TIMEOUT_MS, () => fail('no answer'));
    socket.on('connect', () => socket.write(nonce));
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (mayBeAbsent && NO_ROUTE.includes(error.code ?? '')) resolve('no route');
      else fail(error.code ?? 'unknown reason');
    });
    socket.on('end', () => {
      if (Buffer.concat(chunks).equals(probeAnswer(nonce))) resolve('redirected to the sidecar');
      else fail('somebody else answered');
      socket.destroy();
    });
  });
}

function sent(type: 'udp4' | 'udp6', host: string, egress: EgressPolicy): Promise<string> {
  if (egress === 'Allow') return Promise.resolve('not tried, as egress is Allow');
  return new Promise((resolve, reject) => {
    const socket = createSocket(type);
    const settle = (error: NodeJS.ErrnoException | null) => {
      clearTimeout(timer);
      socket.close();
      if (error !== null) resolve(NO_ROUTE.includes(error.code ?? '') ? 'no route' : 'refused');
      else reject(new ConfinementError(`a datagram to ${host} was let out: the rules do not hold`));
    };
    const timer = setTimeout(() => settle(null), UDP_WAIT_MS);
    socket.on('error', settle);
    socket.connect(443, host, (error?: Error) => {
      if (error !== undefined) return settle(error);
      socket.send('chaperone', (failed) => {
        if (failed !== null) settle(failed);
      });
    });
  });
}

/** What nft says where the kernel does not let it: EPERM, EACCES. */
export const isForbidden = (message: string): boolean =>
  /^nft failed \(\d+\): .*\b(Operation not permitted|Permission denied)\b/s.test(message);

async function changed(): Promise<string> {
  try {
    await nft(['delete', 'table', 'inet', 'chaperone'], '');
  } catch (error: unknown) {
    // Whatever else nft fails of (it is not there, it hangs, it does not understand) says nothing of what this container may do.
    if (error instanceof ConfinementError && isForbidden(error.message)) return 'refused';
    throw error;
  }
  throw new ConfinementError('a container without capabilities could delete the rules');
}
