import { connect, type Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import type { EgressPolicy } from '#crds/control/names.ts';
import type { Log } from '../pipeline.ts';
import type { Destination } from './original-destination.ts';

/** What became of connections to one destination. */
export interface UnmonitoredEgress {
  readonly destination: string;
  readonly port: number;
  readonly verdict: EgressVerdict;
  readonly count: number;
}

export type EgressVerdict = 'denied' | 'audited' | 'allowed' | 'ambiguous';

export interface EgressOptions {
  readonly policy: EgressPolicy;
  readonly log: Log;
  readonly onEgress: (verdict: EgressVerdict) => void;
  /** Addresses that the sidecar must not dial: its own, above all. */
  readonly isRefused: (ip: string) => boolean;
  readonly now: () => number;
}

/** A destination has one line of the log in so long; the counts are complete. */
const LOG_EVERY_MS = 60_000;
const MOST_DESTINATIONS = 1_000;
const MOST_PIPES = 1_000;
const CONNECT_TIMEOUT_MS = 10_000;

/** Connections to what no ProtectedResource names: reset, or let through unread. Every one is counted. */
export class Egress {
  readonly #options: EgressOptions;
  readonly #counts = new Map<string, { destination: string; port: number; verdict: EgressVerdict; count: number; loggedMs: number }>();
  readonly #pipes = new Set<Socket>();

  constructor(options: EgressOptions) {
    this.#options = options;
  }

  /** Resolves when the connection has ended. Never rejects. */
  async serve(socket: Socket, to: Destination): Promise<void> {
    const { policy, isRefused } = this.#options;
    if (policy === 'Deny' || isRefused(to.ip) || this.#pipes.size >= MOST_PIPES) return this.refuse(socket, to, 'denied');
    this.#note(to, policy === 'Audit' ? 'audited' : 'allowed');
    await this.#pipe(socket, to);
  }

  refuse(socket: Socket, to: Destination, verdict: 'denied' | 'ambiguous'): void {
    this.#note(to, verdict);
    socket.resetAndDestroy();
  }

  /** What was counted since the last call, for the operator. */
  take(): UnmonitoredEgress[] {
    const taken = [...this.#counts.values()]
      .filter(({ count }) => count > 0)
      .map(({ destination, port, verdict, count }) => ({
        destination,
        port,
        verdict,
        count,
      }));
    for (const one of this.#counts.values()) one.count = 0;
    return taken;
  }

  close(): void {
    for (const socket of this.#pipes) socket.destroy();
  }

  async #pipe(socket: Socket, { ip, port }: Destination): Promise<void> {
    const outer = connect({ host: ip, port, allowHalfOpen: true, noDelay: true });
    const timer = setTimeout(() => outer.destroy(new Error('timeout')), CONNECT_TIMEOUT_MS);
    outer.once('connect', () => clearTimeout(timer));
    this.#pipes.add(socket);
    try {
      await Promise.all([pipeline(socket, outer), pipeline(outer, socket)]);
    } catch {
      // As the agent would have seen it: refused, or reset.
      if (!socket.destroyed) socket.resetAndDestroy();
      outer.destroy();
    } finally {
      clearTimeout(timer);
      this.#pipes.delete(socket);
    }
  }

  #note({ ip, port }: Destination, verdict: EgressVerdict): void {
    const { log, now, onEgress } = this.#options;
    onEgress(verdict);
    const full = this.#counts.size >= MOST_DESTINATIONS;
    const key = `${verdict} ${ip} ${port}`;
    const place = full && !this.#counts.has(key) ? { destination: 'others', port: 0 } : { destination: ip, port };
    const placeKey = `${verdict} ${place.destination} ${place.port}`;
    const one = this.#counts.get(placeKey) ?? { ...place, verdict, count: 0, loggedMs: -LOG_EVERY_MS };
    this.#counts.set(placeKey, one);
    one.count++;
    if (now() - one.loggedMs < LOG_EVERY_MS) return;
    one.loggedMs = now();
    log[verdict === 'allowed' ? 'info' : 'warn']({ ...place, verdict }, 'unmonitored egress: no ProtectedResource has this address');
  }
}
