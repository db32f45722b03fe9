/** When the operator is alive, and when it may serve. Pure: states in, an answer out. */
import type { WatchState } from '../kube/watch.ts';

export interface Health {
  readonly ok: boolean;
  /** What is wrong; empty where it is ok. */
  readonly problems: readonly string[];
}

/** No try and no word for so long: the loop itself is stuck, whatever the server does. */
const WEDGED_MS = 5 * 60_000;
/** A watch that has not heard for so long, while another has, serves old policy. */
const STALE_MS = 3 * 60_000;
const FRESH_MS = 90_000;

/** A restart helps only against ourselves, so an API server that is away is no reason for one. */
export function alive(watches: readonly WatchState[]): Health {
  return healthOf(watches.filter(({ lastTryAgeMs }) => lastTryAgeMs > WEDGED_MS).map(({ name }) => `the watch of ${name} is stuck`));
}

/**
 * Ready while the API server is away: that is so for all replicas, and sidecars keep the policy that they have. Not ready where only we are cut off
 * from a part of it.
 */
export function ready(watches: readonly WatchState[], notYet: readonly string[]): Health {
  const heard = watches.some(({ lastEventAgeMs }) => lastEventAgeMs < FRESH_MS);
  return healthOf([
    ...notYet,
    ...watches.filter(({ synced }) => !synced).map(({ name }) => `${name} are not listed yet`),
    ...watches
      .filter(({ synced, lastEventAgeMs }) => synced && heard && lastEventAgeMs > STALE_MS)
      .map(({ name }) => `the watch of ${name} is silent`),
    ...alive(watches).problems,
  ]);
}

function healthOf(problems: readonly string[]): Health {
  return { ok: problems.length === 0, problems };
}
