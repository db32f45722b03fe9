import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { DEFAULT_RESOURCE_LIMITS, type ResourceLimitName, type ResourceLimits } from '#crds/policy/limits.ts';
import type { Connection, Log, ResourceKey, Workload } from '../pipeline.ts';
import { ListenError } from './errors.ts';

/** How long a connection may take to close after its driver is done. */
const LINGER_MS = 2_000;

export interface ListenOptions extends DoorOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
}

export interface DoorOptions {
  readonly workload: Workload;
  readonly resource: ResourceKey;
  /** Asked for at each connection; the defaults where absent. */
  readonly limits?: () => DoorLimits;
  readonly onLimit?: (limit: ResourceLimitName) => void;
  /** In the protocol's own words, what is told to who is turned away. */
  readonly noRoom?: () => Buffer | undefined;
  /** Every connection is from this network namespace, whatever its address says: it was redirected on its way out. */
  readonly redirected?: boolean;
  readonly log: Log;
  /** A driver's `serve`. */
  readonly serve: (connection: Connection) => Promise<void>;
}

export type DoorLimits = Pick<ResourceLimits, 'maxConnections' | 'maxUnauthenticated' | 'loginTimeoutSeconds'>;

export interface Listener {
  readonly host: string;
  readonly port: number;
  readonly connections: number;
  readonly unauthenticated: number;
  /** Connections that were closed because there were too many. */
  readonly turnedAway: number;
  /** Stops accepting; resolves when no connection is left. Does not end any: the driver's `drain` does. */
  close(): Promise<void>;
}

/** Rejects with ListenError where the port is in use or may not be taken. Never shares a port (SO_REUSEPORT would let another process of the same user join it). */
export async function listen(options: ListenOptions): Promise<Listener> {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 });
  const door = new Door(options);
  server.on('connection', (socket) => door.enter(socket));
  await bound(server, options);
  server.on('error', (error) => options.log.error({ code: (error as NodeJS.ErrnoException).code }, 'the listener failed'));
  const address = server.address() as { address: string; port: number };
  return {
    host: address.address,
    port: address.port,
    get connections() {
      return door.connections;
    },
    get unauthenticated() {
      return door.unauthenticated;
    },
    get turnedAway() {
      return door.turnedAway;
    },
    close: async () => {
      await new Promise<void>((resolve) => server.close(() => resolve()));
      await door.empty();
    },
  };
}

/** Counts who is in, and who is still before the end of the login. */
export class Door {
  readonly #options: DoorOptions;
  readonly #serving = new Set<Promise<void>>();
  unauthenticated = 0;
  #full = false;
  turnedAway = 0;

  constructor(options: DoorOptions) {
    this.#options = options;
  }

  get connections(): number {
    return this.#serving.size;
  }

  enter(socket: Socket): void {
    // A connection that breaks before the driver has it, or after it let go of it, must not end the process.
    socket.on('error', () => {});
    const limits = this.#options.limits?.() ?? DEFAULT_RESOURCE_LIMITS;
    if (this.connections >= limits.maxConnections) return this.#turnAway(socket, 'maxConnections');
    if (this.unauthenticated >= limits.maxUnauthenticated) return this.#turnAway(socket, 'maxUnauthenticated');
    this.#full = false;
    const serving = this.#serve(socket, limits.loginTimeoutSeconds * 1000).finally(() => this.#serving.delete(serving));
    this.#serving.add(serving);
  }

  #turnAway(socket: Socket, limit: ResourceLimitName): void {
    const { log, resource, onLimit, noRoom } = this.#options;
    const words = noRoom?.();
    if (words !== undefined) socket.end(words);
    socket.destroySoon();
    this.turnedAway++;
    onLimit?.(limit);
    // Once per time that it gets full: a flood of connections must not become one of log lines.
    if (!this.#full) log.warn({ resource, limit }, 'too many connections: new ones are closed');
    this.#full = true;
  }

  async #serve(socket: Socket, loginTimeoutMs: number): Promise<void> {
    const { redirected = false, workload, resource, log, serve, onLimit } = this.#options;
    const remote = socket.remoteAddress ?? '';
    let before = true;
    this.unauthenticated++;
    const established = (): void => {
      if (before) this.unauthenticated--;
      before = false;
      clearTimeout(timer);
    };
    const timer = setTimeout(() => {
      log.info({ resource, remote, limit: 'loginTimeoutSeconds' }, 'closed: the login took too long');
      onLimit?.('loginTimeoutSeconds');
      socket.destroy();
    }, loginTimeoutMs);
    try {
      await serve({
        stream: socket,
        remote: `${remote}:${socket.remotePort ?? 0}`,
        loopback: redirected || isLoopback(remote),
        workload,
        resource,
        established,
      });
    } catch (error) {
      log.error({ resource, error: error instanceof Error ? error.name : 'unknown' }, 'a session failed');
      socket.destroy();
    } finally {
      established();
      await lastBytesOut(socket);
    }
  }

  async empty(): Promise<void> {
    await Promise.all(this.#serving);
  }
}

/** A driver is done when it has written its last message, often an error that says why: it has to arrive, also through TLS. */
async function lastBytesOut(socket: Socket): Promise<void> {
  if (socket.destroyed) return;
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  await once(socket, 'close').catch(() => {});
  clearTimeout(timer);
}

export function isLoopback(address: string): boolean {
  return /^(::ffff:)?127\.\d+\.\d+\.\d+$/i.test(address) || address === '::1';
}

function bound(server: Server, options: ListenOptions): Promise<void> {
  const { host, port } = options;
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException): void => reject(listenError(error.code, host, port));
    server.once('error', failed);
    server.listen({ host, port, exclusive: true, reusePort: false }, () => {
      server.off('error', failed);
      resolve();
    });
  });
}

function listenError(code: string | undefined, host: string, port: number): ListenError {
  const where = `${host}:${port}`;
  switch (code) {
    case 'EADDRINUSE':
      return new ListenError('port_in_use', `can't listen on ${where}: another process has this port`);
    case 'EACCES':
      return new ListenError('not_allowed', `can't listen on ${where}: this user may not open it`);
    case 'EADDRNOTAVAIL':
      return new ListenError('no_such_address', `can't listen on ${where}: this machine does not have the address`);
    default:
      return new ListenError('failed', `can't listen on ${where}: ${code ?? 'unknown reason'}`);
  }
}
