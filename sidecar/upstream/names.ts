/** Finds targets by DNS alone: the pod's /etc/hosts sends their names to the sidecar, and is the pod's author's to write. */
import { Resolver } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { TargetNames } from '../pipeline.ts';
import { UpstreamError } from './errors.ts';

export interface NameServiceOptions {
  /** Of the cluster's resolvers; those of resolv.conf where there is none. */
  readonly servers: readonly string[];
  readonly clusterDomain: string;
  readonly now: () => number;
}

/** Several connections at once ask once; a target that moved is found a moment later. */
const KEPT_MS = 5_000;
const QUERY_TIMEOUT_MS = 2_000;
const MOST_KEPT = 4_096;

interface Kept {
  readonly untilMs: number;
  readonly answer: Promise<readonly string[]>;
}

/** Addresses that no target has: a name that means one would lead the sidecar to itself, to the agent, or to the node. */
const NEVER = new BlockList();
NEVER.addSubnet('0.0.0.0', 8);
NEVER.addSubnet('127.0.0.0', 8);
NEVER.addSubnet('169.254.0.0', 16);
NEVER.addSubnet('224.0.0.0', 3);
NEVER.addAddress('::', 'ipv6');
NEVER.addAddress('::1', 'ipv6');
NEVER.addSubnet('fe80::', 10, 'ipv6');
NEVER.addSubnet('ff00::', 8, 'ipv6');

export class NameService {
  readonly #options: NameServiceOptions;
  readonly #resolver = new Resolver({ timeout: QUERY_TIMEOUT_MS, tries: 2 });
  readonly #kept = new Map<string, Kept>();

  constructor(options: NameServiceOptions) {
    this.#options = options;
    if (options.servers.length > 0) this.#resolver.setServers(options.servers);
  }

  /** What a dial to a resource of this namespace uses. */
  for(namespace: string): TargetNames {
    return {
      isRefused,
      lookup: (host, options, done) => {
        this.addresses(host, namespace).then(
          (all) => {
            const list = all.map((address) => ({ address, family: isIP(address) }));
            const [first] = list;
            if (options.all === true || first === undefined) done(null, list);
            else done(null, first.address, first.family);
          },
          (error: unknown) => done(lookupError(error, host), []),
        );
      },
    };
  }

  /** IPv4 first. Rejects with UpstreamError where there is none that a target can have. */
  async addresses(host: string, namespace: string): Promise<readonly string[]> {
    if (isIP(host) !== 0) return allowed([host], host);
    const key = `${namespace}/${host}`;
    const kept = this.#kept.get(key);
    if (kept !== undefined && this.#options.now() < kept.untilMs) return kept.answer;
    if (this.#kept.size >= MOST_KEPT) this.#kept.clear();
    const answer = this.#ask(host, namespace);
    const entry = { untilMs: this.#options.now() + KEPT_MS, answer };
    this.#kept.set(key, entry);
    answer.catch(() => {
      if (this.#kept.get(key) === entry) this.#kept.delete(key);
    });
    return answer;
  }

  async #ask(host: string, namespace: string): Promise<readonly string[]> {
    for (const name of candidates(host, namespace, this.#options.clusterDomain)) {
      const [v4, v6] = await Promise.all([ask(() => this.#resolver.resolve4(name)), ask(() => this.#resolver.resolve6(name))]);
      const found = [...v4.addresses, ...v6.addresses];
      if (found.length > 0) return allowed(found, host);
      // Not to know is not to know that there is none: the next name might be somebody else's.
      if (v4.failed !== null) throw new UpstreamError('unreachable', `the name ${host} can't be looked up: ${v4.failed}`);
    }
    throw new UpstreamError('unreachable', `there is no address for the name ${host}`);
  }
}

/** The names to ask for, in order: a short name is a Service of the resource's own namespace, never of the pod's. */
export function candidates(host: string, namespace: string, clusterDomain: string): string[] {
  const name = host.toLowerCase();
  if (name.endsWith('.')) return [name];
  if (name.endsWith(`.${clusterDomain}`)) return [`${name}.`];
  if (name.endsWith('.svc')) return [`${name}.${clusterDomain}.`, `${name}.`];
  const labels = name.split('.').length;
  const inCluster = `${name}.svc.${clusterDomain}.`;
  if (labels === 1) return [`${name}.${namespace}.svc.${clusterDomain}.`, `${name}.`];
  // With three labels and more it is far more often a name of the world than `pod.service.namespace`.
  return labels === 2 ? [inCluster, `${name}.`] : [`${name}.`, inCluster];
}

export function isRefused(ip: string): boolean {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(ip)?.[1];
  if (mapped !== undefined) return isRefused(mapped);
  return NEVER.check(ip, isIP(ip) === 6 ? 'ipv6' : 'ipv4') || isOwn(ip);
}

function isOwn(ip: string): boolean {
  return Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ address }) => address === ip));
}

function allowed(found: readonly string[], host: string): readonly string[] {
  const addresses = found.filter((ip) => !isRefused(ip));
  if (addresses.length === 0)
    throw new UpstreamError('unreachable', `the name ${host} leads to ${found.join(', ')}, where no target can be`);
  return addresses;
}

/** Codes of c-ares for `there is no such name` and `none of this type`. */
const NONE = new Set(['ENOTFOUND', 'ENODATA']);

async function ask(query: () => Promise<string[]>): Promise<{ readonly addresses: readonly string[]; readonly failed: string | null }> {
  try {
    return { addresses: await query(), failed: null };
  } catch (error: unknown) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown reason';
    return { addresses: [], failed: NONE.has(code) ? null : code };
  }
}

/** Node's sockets want a code. */
function lookupError(error: unknown, host: string): NodeJS.ErrnoException {
  return Object.assign(new Error(error instanceof Error ? error.message : `no address for ${host}`), { code: 'ENOTFOUND' });
}
