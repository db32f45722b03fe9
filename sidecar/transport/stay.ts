/**
 * A short wait inside of a read. Whoever serves a small message says `stay` where nothing more is to be done than to wait for the next one, from the
 * peer or from the other side; the wait for that is then our own, and ends where libuv has something to do, too. Between two messages there is
 * neither a turn of libuv's loop, nor Node's callbacks and streams.
 */
import { LoopPoll, READ_BYTES } from '../system/poll.ts';

/** Promises and immediates that a message leaves wait for this long at most. Timers are in time: the wait ends for them. */
const MAX_STAY_MS = 2;

/** A plain socket whose bytes are read here while others are waited for. */
export interface Stayer {
  /** Below zero where it has none. */
  readonly fd: number;
  /** It is open, and somebody reads it. */
  readonly readsNow: boolean;
  /** Takes bytes that were read. They are lent; true where they may not be overwritten yet. */
  take(bytes: Buffer): boolean;
}

let staying = false;
let running = false;
let poll: LoopPoll | null | undefined;
/** By descriptor. */
const stayers = new Map<number, Stayer>();

/** What was just served is done: nothing of it waits for a turn of the loop. */
export function stay(): void {
  staying = true;
}

/** Runs what serves a message; true where it said `stay`. */
export function serves(call: () => void): boolean {
  staying = false;
  call();
  return staying;
}

/** From now on the socket is one of those that are read here. False where there is no such wait. */
export function enlist(stayer: Stayer): boolean {
  poll ??= LoopPoll.open();
  const { fd } = stayer;
  if (poll === null || fd < 0) return false;
  stayers.set(fd, stayer);
  return true;
}

/** The socket is closed. Its number may be another's already. */
export function release(stayer: Stayer): void {
  if (stayers.get(stayer.fd) === stayer) stayers.delete(stayer.fd);
}

/** Waits for what comes next, and serves it, for as long as that says `stay`. */
export function waitHere(): void {
  if (running || !poll) return;
  running = true;
  try {
    run(poll);
  } finally {
    running = false;
  }
}

function run(on: LoopPoll): void {
  const loopMs = on.loopTimeoutMs();
  if (loopMs === 0) return;
  let leftMs = loopMs < 0 ? MAX_STAY_MS : Math.min(loopMs, MAX_STAY_MS);
  const end = performance.now() + leftMs;
  while (leftMs >= 1) {
    const ready = on.wait(leftMs);
    if (ready <= 0 || !serveAll(on, ready)) return;
    leftMs = Math.floor(end - performance.now());
  }
}

/** False where it is libuv's turn. */
function serveAll(on: LoopPoll, ready: number): boolean {
  // Of one turn all are served, whatever one of them says.
  let goesOn = true;
  for (let i = 0; i < ready; i++) {
    const stayer = stayers.get(on.at(i));
    if (stayer === undefined || !on.isReadable(i) || !serve(on, stayer)) goesOn = false;
  }
  return goesOn;
}

function serve(on: LoopPoll, stayer: Stayer): boolean {
  const count = stayer.readsNow ? on.read(stayer.fd) : 0;
  // Paused, at its end, or broken: Node is told as well, and knows what to do.
  if (count <= 0) return false;
  staying = false;
  if (stayer.take(on.bytes.subarray(0, count))) on.renew();
  // A great message is read in greater pieces.
  return staying && count < READ_BYTES;
}
