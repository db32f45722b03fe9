import { WireError } from './errors.ts';
import type { FramePhase } from './frame.ts';
import { BACKEND, FRONTEND } from './types.ts';

/** The greatest length fields, in bytes, that a client may send. */
export interface FrameLimits {
  /** PostgreSQL's MAX_STARTUP_PACKET_LENGTH. */
  readonly startupBytes: number;
  /** PostgreSQL's PQ_SMALL_MESSAGE_LIMIT is 10 000 here, its PG_MAX_AUTH_TOKEN_LENGTH 65 535. */
  readonly loginBytes: number;
  /** PostgreSQL's PQ_SMALL_MESSAGE_LIMIT. */
  readonly smallBytes: number;
  /** Query, Parse, Bind and CopyData. PostgreSQL takes 1 GiB. */
  readonly largeBytes: number;
}

export const DEFAULT_FRAME_LIMITS: FrameLimits = {
  startupBytes: 10_000,
  loginBytes: 65_535,
  smallBytes: 30_000,
  largeBytes: 64 * 1024 * 1024,
};

const SMALL = 1;
const LARGE = 2;
const NEVER = 3;

const FRONTEND_CLASS = frontendClasses();

function frontendClasses(): Uint8Array {
  const table = new Uint8Array(256);
  for (const type of Object.values(FRONTEND)) table[type] = SMALL;
  for (const type of [FRONTEND.Query, FRONTEND.Parse, FRONTEND.Bind, FRONTEND.CopyData, FRONTEND.FunctionCall]) table[type] = LARGE;
  table[FRONTEND.Password] = NEVER;
  return table;
}

/** The limit of a client's type in a phase. Throws for types that are unknown or may not come there. */
export function frontendLimit(type: number, phase: FramePhase, limits: FrameLimits): number {
  const kind = FRONTEND_CLASS[type] ?? 0;
  if (kind === 0) throw new WireError('unknown_type', `invalid frontend message type ${type}`);
  if (phase === 'login') {
    if (type !== FRONTEND.Password) throw new WireError('unexpected_type', `expected a password, got message type ${type}`);
    return limits.loginBytes;
  }
  if (kind === NEVER) throw new WireError('unexpected_type', `invalid frontend message type ${type}`);
  return kind === LARGE ? limits.largeBytes : limits.smallBytes;
}

/** The greatest length field that a PostgreSQL server can send (PQ_LARGE_MESSAGE_LIMIT and some room). */
export const MAX_BACKEND_BYTES = 0x4000_0000;

export const ANY_LENGTH = -1;
export const UNKNOWN_TYPE = -2;

/** By type: the length field that it must have, or ANY_LENGTH (from 4), or UNKNOWN_TYPE. */
export const BACKEND_LENGTH: Int32Array = backendLengths();

function backendLengths(): Int32Array {
  const table = new Int32Array(256).fill(UNKNOWN_TYPE);
  for (const type of Object.values(BACKEND)) table[type] = ANY_LENGTH;
  const empty = ['BindComplete', 'CloseComplete', 'CopyDone', 'EmptyQueryResponse', 'NoData', 'ParseComplete', 'PortalSuspended'] as const;
  for (const name of empty) table[BACKEND[name]] = 4;
  table[BACKEND.ReadyForQuery] = 5;
  return table;
}
