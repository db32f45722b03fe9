/**
 * Leader election on a Lease. One holder: every write says which version it replaces. Whether another's lease has run out is judged by how long we have
 * seen it unchanged on our own clock, never by the times in it. The leader stops being one on its own clock, before another may begin.
 */
import { pause } from './backoff.ts';
import type { KubeClient } from './client.ts';
import { isKubeError } from './error.ts';
import type { KubeObject } from './resource.ts';
import { LEASES } from './resources.ts';

export interface LeaseTimes {
  /** Another may take it when it was not renewed for so long. */
  readonly durationMs: number;
  /** The leader gives up when it could not renew for so long. Shorter than the duration. */
  readonly renewDeadlineMs: number;
  readonly retryMs: number;
}

export interface LeaderOptions {
  readonly kube: KubeClient;
  readonly namespace: string;
  readonly name: string;
  /** Unique among the replicas. */
  readonly identity: string;
  readonly onChange: (leads: boolean) => void;
  readonly log: { warn(fields: object, message: string): void };
  readonly times?: LeaseTimes;
}

export interface Leader {
  readonly leads: boolean;
  /** As last seen; null where nobody holds it. */
  readonly holder: string | null;
  /** Gives the lease back, so that another can take it at once. */
  stop(): Promise<void>;
}

interface Lease extends KubeObject {
  readonly spec?: {
    readonly holderIdentity?: string;
    readonly leaseDurationSeconds?: number;
    readonly acquireTime?: string;
    readonly renewTime?: string;
    readonly leaseTransitions?: number;
  };
}

const TIMES: LeaseTimes = { durationMs: 15_000, renewDeadlineMs: 10_000, retryMs: 2_000 };

export function startLeader(options: LeaderOptions): Leader {
  const leader = new RunningLeader(options);
  leader.start();
  return leader;
}

class RunningLeader implements Leader {
  readonly #options: LeaderOptions;
  readonly #times: LeaseTimes;
  readonly #stop = new AbortController();
  /** The lease as last seen, and when (our clock) it last changed. */
  #seen: { readonly lease: Lease; readonly at: number } | null = null;
  #renewedAt = Number.NEGATIVE_INFINITY;
  #told = false;
  #deadline: NodeJS.Timeout | null = null;
  #running: Promise<void> = Promise.resolve();

  constructor(options: LeaderOptions) {
    this.#options = options;
    this.#times = options.times ?? TIMES;
  }

  get leads(): boolean {
    // By the clock, not by a flag: a process that was stopped for a minute must not believe that it still leads.
    return this.#told && performance.now() - this.#renewedAt < this.#times.renewDeadlineMs;
  }

  get holder(): string | null {
    return this.#seen?.lease.spec?.holderIdentity || null;
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    const led = this.leads;
    this.#tell(false);
    if (led) await this.#release();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const startedAt = performance.now();
      try {
        if (await this.#acquireOrRenew(startedAt)) this.#renewed(startedAt);
        else this.#tell(false);
      } catch (error: unknown) {
        // A Conflict says that the lease has changed: the next look will tell whose it is. Until the deadline we may still hold it.
        if (!isKubeError(error, 'Conflict', 'AlreadyExists')) {
          const why = error instanceof Error ? error.message : 'unknown';
          this.#options.log.warn({ lease: this.#options.name, leads: this.leads }, `the lease could not be renewed or taken: ${why}`);
        }
      }
      await pause(this.#times.retryMs * (1 + Math.random() * 0.2), signal);
    }
  }

  async #acquireOrRenew(now: number): Promise<boolean> {
    const { kube, namespace, name, identity } = this.#options;
    const found = await kube.get<Lease>(LEASES, { namespace, name }).catch((error: unknown) => {
      if (isKubeError(error, 'NotFound')) return null;
      throw error;
    });
    const time = microTime();
    const spec = { holderIdentity: identity, leaseDurationSeconds: Math.ceil(this.#times.durationMs / 1000), renewTime: time };
    if (found === null) {
      const first = { metadata: { namespace, name }, spec: { ...spec, acquireTime: time, leaseTransitions: 0 } };
      this.#observe(await kube.create<Lease>(LEASES, first));
      return true;
    }
    this.#observe(found);
    const holder = found.spec?.holderIdentity ?? '';
    if (holder !== identity && holder !== '' && !this.#hasRunOut(now)) return false;
    const transitions = found.spec?.leaseTransitions ?? 0;
    const taken = holder === identity ? {} : { acquireTime: time, leaseTransitions: transitions + 1 };
    // With the resourceVersion that was read: of two that try, one gets a Conflict.
    this.#observe(await kube.update<Lease>(LEASES, { ...found, spec: { ...found.spec, ...spec, ...taken } }));
    return true;
  }

  #observe(lease: Lease): void {
    if (this.#seen?.lease.metadata.resourceVersion === lease.metadata.resourceVersion) return;
    this.#seen = { lease, at: performance.now() };
  }

  #hasRunOut(now: number): boolean {
    if (this.#seen === null) return false;
    const { lease, at } = this.#seen;
    return now - at >= (lease.spec?.leaseDurationSeconds ?? 0) * 1000;
  }

  /** From when the call began: the others may count from then. */
  #renewed(startedAt: number): void {
    const left = startedAt + this.#times.renewDeadlineMs - performance.now();
    if (this.#stop.signal.aborted || left <= 0) return;
    this.#renewedAt = startedAt;
    clearTimeout(this.#deadline ?? undefined);
    this.#deadline = setTimeout(() => this.#tell(false), left);
    this.#tell(true);
  }

  #tell(leads: boolean): void {
    if (!leads) clearTimeout(this.#deadline ?? undefined);
    if (this.#told === leads) return;
    this.#told = leads;
    this.#options.onChange(leads);
  }

  async #release(): Promise<void> {
    const lease = this.#seen?.lease;
    if (lease === undefined) return;
    const spec = { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: microTime() };
    // Where it can't be given back, it runs out.
    await this.#options.kube.update<Lease>(LEASES, { ...lease, spec }).catch(() => {});
  }
}

/** metav1.MicroTime. */
export function microTime(at: Date = new Date()): string {
  return at.toISOString().replace('Z', '000Z');
}
