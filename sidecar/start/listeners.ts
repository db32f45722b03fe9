import { isReachable } from '#crds/control/reachable.ts';
import type { SnapshotResource } from '#crds/policy/snapshot.ts';
import { ListenError } from '../listener/errors.ts';
import { type DoorOptions, type Listener, listen } from '../listener/listen.ts';
import type { Connection, Log, ResourceKey, Workload } from '../pipeline.ts';
import { addressText, isLoopback, type ListenAddress, StartError } from './address.ts';

export const FIRST_PORT = 6432;
const PORTS_TRIED = 500;

export interface ListenersOptions {
  /** By `name` or `namespace/name`. */
  readonly fixed: ReadonlyMap<string, ListenAddress>;
  /** What becomes of a resource that `fixed` does not name: a free port of loopback, or none, where nobody would find it. */
  readonly others?: 'FreePort' | 'None';
  readonly workload: Workload;
  readonly log: Log;
  /** What holds at the door of a resource. */
  readonly doorOf?: (resource: ResourceKey, protocol: () => SnapshotResource['protocol']) => DoorParts;
  readonly serve: (protocol: SnapshotResource['protocol'], connection: Connection) => Promise<void>;
}

export type DoorParts = Pick<DoorOptions, 'limits' | 'onLimit' | 'noRoom'>;

interface Open {
  readonly listener: Listener;
  protocol: SnapshotResource['protocol'];
}

/** Where a sidecar takes connections. */
export interface Entrances {
  readonly addresses: ReadonlyMap<string, ListenAddress>;
  readonly connections: readonly { readonly key: string; readonly count: number; readonly unauthenticated: number }[];
  /** All that should be open is. False before the first `reconcile`, and where another process has a port. */
  readonly ready: boolean;
  /** Resources that agents of this pod can't reach, as it was made before they were: `namespace/name`. */
  readonly missing: readonly string[];
  /** Opens what is new and closes what is gone. Rejects with StartError. */
  reconcile(resources: readonly SnapshotResource[]): Promise<void>;
  close(): Promise<void>;
}

/** One listener a resource. A resource keeps its address over reloads, and has it again when it comes back. */
export class Listeners implements Entrances {
  readonly #options: ListenersOptions;
  readonly #open = new Map<string, Open>();
  readonly #given = new Map<string, ListenAddress>();
  readonly #closing = new Set<Promise<void>>();
  #last: Promise<void> = Promise.resolve();
  ready = false;
  missing: readonly string[] = [];

  constructor(options: ListenersOptions) {
    this.#options = options;
  }

  get addresses(): ReadonlyMap<string, ListenAddress> {
    return new Map([...this.#open].map(([key, { listener }]) => [key, { host: listener.host, port: listener.port }]));
  }

  get connections(): Entrances['connections'] {
    return [...this.#open].map(([key, { listener }]) => ({
      key,
      count: listener.connections,
      unauthenticated: listener.unauthenticated,
    }));
  }

  /** Opens what is new, in order, and stops accepting for what is gone. Rejects with StartError; what is open then stays so. */
  reconcile(resources: readonly SnapshotResource[]): Promise<void> {
    const next = this.#last.then(() => this.#reconcile(resources));
    this.#last = next.catch(() => {});
    return next;
  }

  async #reconcile(all: readonly SnapshotResource[]): Promise<void> {
    this.ready = false;
    const { others = 'FreePort', log, workload } = this.#options;
    const unknown = others === 'FreePort' ? [] : all.filter((resource) => this.#fixedFor(resource, all) === undefined);
    const missing = unknown.filter((resource) => isReachable(resource, workload.namespace)).map(keyOf);
    for (const key of missing) {
      if (!this.missing.includes(key)) log.warn({ resource: key }, 'this resource came after the pod: restart the pod to reach it');
    }
    this.missing = missing;
    const resources = all.filter((resource) => !unknown.includes(resource));
    const wanted = new Map(resources.map((resource) => [keyOf(resource), resource]));
    for (const [key, { listener }] of this.#open) {
      if (wanted.has(key)) continue;
      this.#open.delete(key);
      this.#close(listener);
    }
    for (const [key, resource] of wanted) {
      const open = this.#open.get(key);
      if (open !== undefined) open.protocol = resource.protocol;
      else await this.#start(key, resource, resources);
    }
    this.ready = true;
  }

  /** Stops accepting everywhere. Resolves when the last connection is gone. */
  async close(): Promise<void> {
    for (const { listener } of this.#open.values()) this.#close(listener);
    await Promise.all(this.#closing);
  }

  async #start(key: string, resource: SnapshotResource, all: readonly SnapshotResource[]): Promise<void> {
    const fixed = this.#fixedFor(resource, all);
    const listener = fixed === undefined ? await this.#listenOnFree(key, resource) : await this.#listenAt(resource, fixed);
    this.#open.set(key, { listener, protocol: resource.protocol });
    this.#given.set(key, { host: listener.host, port: listener.port });
    const address = addressText(listener);
    this.#options.log.info({ resource: key, protocol: resource.protocol, address }, 'listening');
    if (!isLoopback(listener.host)) {
      this.#options.log.warn(
        { resource: key, address },
        'whoever reaches this address acts as the workload; agents that present no token can not be told apart',
      );
    }
  }

  async #listenOnFree(key: string, resource: SnapshotResource): Promise<Listener> {
    const before = this.#given.get(key);
    const taken = new Set([...this.#given].filter(([other]) => other !== key).map(([, { port }]) => port));
    const free = Array.from({ length: PORTS_TRIED }, (_, i) => FIRST_PORT + i).filter((port) => !taken.has(port));
    for (const port of before === undefined ? free : [before.port, ...free]) {
      try {
        return await this.#listen(resource, { host: '127.0.0.1', port });
      } catch (error) {
        if (!(error instanceof ListenError) || error.code !== 'port_in_use') throw startErrorOf(key, error);
      }
    }
    throw new StartError(`${key}: no free port from ${FIRST_PORT} to ${FIRST_PORT + PORTS_TRIED - 1}; choose one with --listen`);
  }

  async #listenAt(resource: SnapshotResource, address: ListenAddress): Promise<Listener> {
    try {
      return await this.#listen(resource, address);
    } catch (error) {
      throw startErrorOf(`--listen ${keyOf(resource)}=${addressText(address)}`, error);
    }
  }

  #listen(resource: SnapshotResource, { host, port }: ListenAddress): Promise<Listener> {
    const { workload, log, serve, doorOf } = this.#options;
    const key = keyOf(resource);
    const target = { namespace: resource.namespace, name: resource.name };
    const protocol = () => this.#open.get(key)?.protocol ?? resource.protocol;
    return listen({
      ...doorOf?.(target, protocol),
      host,
      port,
      workload,
      resource: target,
      log,
      serve: (connection) => serve(protocol(), connection),
    });
  }

  #fixedFor(resource: SnapshotResource, all: readonly SnapshotResource[]): ListenAddress | undefined {
    const { fixed } = this.#options;
    const exact = fixed.get(keyOf(resource));
    if (exact !== undefined) return exact;
    const short = fixed.get(resource.name);
    if (short !== undefined && all.filter(({ name }) => name === resource.name).length > 1) {
      throw new StartError(`--listen ${resource.name}: there are several of that name; write NAMESPACE/NAME=HOST:PORT`);
    }
    return short;
  }

  #close(listener: Listener): void {
    const closing = listener.close().finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }
}

const keyOf = (resource: { readonly namespace: string; readonly name: string }) => `${resource.namespace}/${resource.name}`;

function startErrorOf(what: string, error: unknown): StartError {
  return new StartError(`${what}: ${error instanceof Error ? error.message : 'can not listen'}`);
}
