import type { Writable } from 'node:stream';
import { type BucketSource, openBucket } from './bucket.ts';
import { openFolder } from './folder.ts';
import type { StoredRecordings } from './stored.ts';

/** What the session commands of the CLI share. Each returns its exit code: 0 done, 1 the recordings don't verify or have no such session, 2 wrong use or an unreadable folder. */
export interface SessionsOptions {
  /** A state folder, or a `recordings` folder (also a copy). */
  readonly dir: string;
  /** In place of `dir`. */
  readonly bucket?: BucketSource;
  readonly output: 'table' | 'json';
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** ANSI colours in tables. */
  readonly color?: boolean;
}

/** Rejects where it can't be read. */
export async function openStored({ dir, bucket }: SessionsOptions): Promise<StoredRecordings> {
  return bucket === undefined ? openFolder(dir) : openBucket(bucket);
}

export interface ListOptions extends SessionsOptions {
  readonly namespace?: string;
  readonly resource?: string;
  /** Only sessions that started at or after it: RFC 3339 or `YYYY-MM-DD`. */
  readonly since?: string;
}

export interface ShowOptions extends SessionsOptions {
  /** UUID, or a prefix of at least 4 characters that only one session has. */
  readonly session: string;
}

export interface ReplayOptions extends ShowOptions {
  /** 1 is as it happened, 10 is ten times as fast, 0 (default) does not wait. */
  readonly speed?: number;
  /** Longest pause, in milliseconds after `speed`. Default 2000. */
  readonly maxPauseMs?: number;
  readonly sleep?: (ms: number) => Promise<void>;
}

export interface VerifyOptions extends SessionsOptions {
  /** PEM files. Where empty: `keys/recording.pub.pem` of the state folder. */
  readonly publicKeys: readonly string[];
  /** PEM files: authorities whose certificates prove recorders' keys and countersigned heads. */
  readonly authorities?: readonly string[];
  /** 64 hex digits, as `verify` and the recorder print them. */
  readonly expectHead?: string;
  /** Only sessions whose ID begins so (and all ledgers). */
  readonly session?: string;
}
