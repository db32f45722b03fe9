import { createServer, type Server, type Socket } from 'node:net';
import type { SnapshotResource } from '#crds/policy/snapshot.ts';
import { ListenError } from '../listener/errors.ts';
import { Door, type DoorOptions } from '../listener/listen.ts';
import type { Connection, Log, ResourceKey, Workload } from '../pipeline.ts';
import type { Egress } from './egress.ts';
import { type Destination, originalDestination } from './original-destination.ts';
import { answerProbe, isProbe } from './probe.ts';
import type { TargetTable } from './targets.ts';

export interface TransparentOptions {
  readonly port: number;
  readonly workload: Workload;
  readonly targets: TargetTable;
  readonly egress: Egress;
  readonly log: Log;
  readonly doorOf?: (
    resource: ResourceKey,
    protocol: () => SnapshotResource['protocol'],
  ) => Pick<DoorOptions, 'limits' | 'onLimit' | 'noRoom'>;
  readonly serve: (protocol: SnapshotResource['protocol'], connection: Connection) => Promise<void>;
}

/** A pod has no IPv6 where this is the answer; then nothing leaves it by IPv6 either. */
const NO_SUCH_FAMILY = ['EADDRNOTAVAIL', 'EAFNOSUPPORT'];
/** Of all kinds at once, before any is known to be of a resource. */
const MOST_CONNECTIONS = 4_096;

/** Takes every TCP connection that leaves the pod, by the redirect of `ruleset.ts`, and gives it to whom it was meant for. */
export class TransparentListener {
  readonly #options: TransparentOptions;
  readonly #servers: Server[] = [];
  readonly #doors = new Map<string, Door>();
  readonly #sockets = new Set<Socket>();

  constructor(options: TransparentOptions) {
    this.#options = options;
  }

  /** On loopback alone: from outside there is nothing to connect to. Rejects with ListenError. */
  async open(): Promise<void> {
    for (const server of this.#servers.splice(0)) server.close();
    for (const host of ['127.0.0.1', '::1']) {
      const server = createServer({
        pauseOnConnect: true,
        allowHalfOpen: true,
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: 60_000,
      });
      server.maxConnections = MOST_CONNECTIONS;
      server.on('connection', (socket) => this.#enter(socket));
      const code = await bound(server, host, this.#options.port);
      if (code === null) this.#servers.push(server);
      else if (host === '127.0.0.1' || !NO_SUCH_FAMILY.includes(code)) {
        throw new ListenError('failed', `can't listen on ${host} port ${this.#options.port}: ${code}`);
      }
    }
  }

  get isOpen(): boolean {
    return this.#servers.length > 0 && this.#servers.every((server) => server.listening);
  }

  get connections(): readonly { readonly key: string; readonly count: number; readonly unauthenticated: number }[] {
    return [...this.#doors].map(([key, door]) => ({ key, count: door.connections, unauthenticated: door.unauthenticated }));
  }

  /** Stops accepting; resolves when the drivers' connections have ended. Unread ones are cut. */
  async close(): Promise<void> {
    for (const server of this.#servers) server.close();
    this.#options.egress.close();
    await Promise.all([...this.#doors.values()].map((door) => door.empty()));
    for (const socket of this.#sockets) socket.destroy();
  }

  #enter(socket: Socket): void {
    socket.on('error', () => {});
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    this.#route(socket).catch((error: unknown) => {
      this.#options.log.error({ error: error instanceof Error ? error.name : 'unknown' }, 'a redirected connection failed');
      socket.resetAndDestroy();
    });
  }

  async #route(socket: Socket): Promise<void> {
    const { targets, egress } = this.#options;
    const to = originalDestination(socket);
    // Dialled as itself and not redirected: there is nobody to lead it to.
    if (to === null || isSelf(socket, to)) return void socket.resetAndDestroy();
    if (isProbe(to)) return answerProbe(socket);
    const found = await targets.find(to);
    if (socket.destroyed) return;
    switch (found.type) {
      case 'resource':
        return this.#door(found.resource).enter(socket);
      case 'ambiguous':
        this.#options.log.warn({ ...to, resources: found.resources }, 'several resources have this address: none is served there');
        return egress.refuse(socket, to, 'ambiguous');
      case 'none':
        return egress.serve(socket, to);
      default:
        found satisfies never;
    }
  }

  #door({ namespace, name, protocol }: SnapshotResource): Door {
    const key = `${namespace}/${name} ${protocol}`;
    const { workload, log, serve, doorOf } = this.#options;
    const resource = { namespace, name };
    const door =
      this.#doors.get(key) ??
      new Door({
        ...doorOf?.(resource, () => protocol),
        workload,
        resource,
        redirected: true,
        log,
        serve: (connection) => serve(protocol, connection),
      });
    this.#doors.set(key, door);
    return door;
  }
}

function isSelf(socket: Socket, { ip, port }: Destination): boolean {
  return ip === socket.localAddress && port === socket.localPort;
}

/** Null, or why not. */
function bound(server: Server, host: string, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'unknown reason'));
    server.listen({ host, port, exclusive: true, ipv6Only: true }, () => resolve(null));
  });
}
