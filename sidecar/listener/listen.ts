import type { Connection, Log, ResourceKey, Workload } from '../pipeline.ts';

export interface ListenOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly workload: Workload;
  readonly resource: ResourceKey;
  /** Connections at once; more are closed at once. */
  readonly maxConnections?: number;
  /** Of those, how many may be before the end of their login. */
  readonly maxUnestablished?: number;
  /** A connection that is not through its login by then is closed. */
  readonly headerTimeoutMs?: number;
  readonly log: Log;
  /** A driver's `serve`. */
  readonly serve: (connection: Connection) => Promise<void>;
}

export interface Listener {
  readonly host: string;
  readonly port: number;
  readonly connections: number;
  /** Stops accepting; resolves when no connection is left. Does not end any: the driver's `drain` does. */
  close(): Promise<void>;
}

/** Rejects with ListenError where the port is in use or may not be taken. */
export async function listen(_options: ListenOptions): Promise<Listener> {
  throw new Error('not yet');
}
