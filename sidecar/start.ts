import type { PublishResult } from './policy/store.ts';

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** A sidecar that runs. Keys of `addresses` are `namespace/name` of the resource. */
export interface Sidecar {
  readonly addresses: ReadonlyMap<string, ListenAddress>;
  /** Takes a new snapshot (any JSON value); listeners of new resources are open when it resolves. */
  publish(snapshot: unknown): Promise<PublishResult>;
  /** Stops accepting; sessions end after the action that is under way, at the latest after `graceMs`. */
  drain(graceMs?: number): Promise<void>;
  close(): Promise<void>;
}
