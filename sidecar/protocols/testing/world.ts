import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CAPABILITIES, type Snapshot } from '#crds/policy/snapshot.ts';
import { means } from '#crds/policy/subject.ts';
import { type ApprovalBroker, createApprovalBroker } from '../../approvals/broker.ts';
import type { ApprovalView } from '../../approvals/view.ts';
import { type LocalIssuer, openLocalIssuer } from '../../identity/local-issuer.ts';
import { createIdentityVerifier } from '../../identity/verifier.ts';
import { type Listener, listen } from '../../listener/listen.ts';
import type { Driver, DriverContext, Log, PolicyStore, VerdictLine } from '../../pipeline.ts';
import { createPolicyStore, type PublishablePolicyStore } from '../../policy/store.ts';
import { openRecordings, type Recordings } from '../../record/store.ts';
import { NAMESPACE, WORKLOAD } from './snapshots.ts';
import { SpyRecordings } from './spy.ts';

/** Everything that a driver is given, real: policy store, identity, approvals, recording; with credentials and a clock to set. */
export class World {
  readonly context: DriverContext;
  readonly recordings: SpyRecordings;
  readonly broker: ApprovalBroker;
  readonly verdicts: VerdictLine[] = [];
  readonly logged: string[] = [];
  readonly secrets = new Map<string, string>();
  /** Milliseconds that the clock is ahead. */
  ahead = 0;
  judgeThrows = false;
  readonly #folder: string;
  readonly #store: Recordings;
  readonly #issuer: LocalIssuer;
  readonly #policy: PublishablePolicyStore;
  readonly #pending: ApprovalView[] = [];
  #waiting: ((view: ApprovalView) => void)[] = [];
  readonly #cleanups: (() => Promise<unknown>)[] = [];

  private constructor(
    folder: string,
    store: Recordings,
    issuer: LocalIssuer,
    policy: PublishablePolicyStore,
    log: Log,
    logged: string[],
    now: () => number,
  ) {
    this.#folder = folder;
    this.#store = store;
    this.#issuer = issuer;
    this.#policy = policy;
    this.logged = logged;
    this.recordings = new SpyRecordings(store);
    this.broker = createApprovalBroker({ policy, matches: means, now, onEvent: (view) => this.#onApproval(view) });
    this.context = {
      policy: this.#faulty(),
      identity: createIdentityVerifier({ issuers: [issuer.verifier], now }),
      credentials: { get: (namespace, secret, key) => this.#credential(`${namespace}/${secret}/${key}`) },
      recordings: this.recordings,
      approvals: this.broker,
      log,
      onVerdict: (line) => this.verdicts.push(line),
      now,
    };
  }

  static async create(options: { readonly ttlMs?: number } = {}): Promise<World> {
    const folder = await mkdtemp(join(tmpdir(), 'chaperone-driver-'));
    const logged: string[] = [];
    const log = { info: keep, warn: keep, error: keep };
    function keep(fields: object, message: string): void {
      logged.push(`${message} ${JSON.stringify(fields)}`);
    }
    let world: World | null = null;
    const now = (): number => Date.now() + (world?.ahead ?? 0);
    const store = await openRecordings({ dir: folder, clock: now, log });
    const policy = createPolicyStore({ workload: WORKLOAD, capabilities: CAPABILITIES, now, ...options });
    world = new World(folder, store, await openLocalIssuer(folder), policy, log, logged, now);
    return world;
  }

  publish(snapshot: Snapshot): void {
    const result = this.#policy.publish(structuredClone(snapshot));
    assert.equal(result.ok, true, JSON.stringify(result));
    assert.deepEqual(result.problems, []);
  }

  token(subject: string, groups: readonly string[] = []): Promise<string> {
    return this.#issuer.issue({ subject, groups, ttlSeconds: 3600, claims: {}, nowMs: this.context.now() });
  }

  /** Listens for a driver; it is drained and closed with the world. */
  async serve(driver: Driver, resource: string): Promise<Listener> {
    const key = { namespace: NAMESPACE, name: resource };
    const listener = await listen({
      host: '127.0.0.1',
      port: 0,
      workload: WORKLOAD,
      resource: key,
      log: this.context.log,
      serve: (connection) => driver.serve(connection),
    });
    this.cleanup(async () => {
      await driver.drain(0);
      await listener.close();
    });
    return listener;
  }

  /** The next request for approval that is raised, or one that waits already. */
  nextApproval(): Promise<ApprovalView> {
    const waiting = this.#pending.shift();
    return waiting === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(waiting);
  }

  async vote(name: string, decision: 'approve' | 'deny'): Promise<void> {
    this.broker.decide(name, await this.context.identity.token(await this.token('bob', ['sre'])), { decision, reason: 'asked for' });
  }

  /** What the recorder was told of the session, in order; holds and verdicts with their decision. */
  order(session: string): string[] {
    return this.recordings.seen
      .filter((seen) => seen.session === session)
      .map(({ what, detail }) => {
        if (what === 'action' && 'decision' in detail) return String(detail.decision).toLowerCase();
        return what === 'approval' && 'event' in detail ? String(detail.event) : what;
      });
  }

  /** All bytes on disk, logged, and told of verdicts: where a secret may not be. */
  async everythingWritten(): Promise<string> {
    const files = await readdir(join(this.#folder, 'recordings'), { recursive: true, withFileTypes: true });
    const contents = await Promise.all(
      files.filter((file) => file.isFile()).map((file) => readFile(join(file.parentPath, file.name), 'latin1')),
    );
    return [...contents, ...this.logged, JSON.stringify(this.verdicts), JSON.stringify(this.recordings.seen)].join('\n');
  }

  cleanup(clean: () => Promise<unknown>): void {
    this.#cleanups.push(clean);
  }

  async close(): Promise<void> {
    for (const clean of this.#cleanups.reverse()) await clean();
    this.broker.close();
    this.#policy.close();
    await this.#store.close();
    await rm(this.#folder, { recursive: true, force: true });
  }

  #onApproval(view: ApprovalView): void {
    if (view.state !== 'pending') return;
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#pending.push(view);
    else waiting(view);
  }

  #credential(name: string): Buffer {
    const value = this.secrets.get(name);
    if (value === undefined) throw new Error(`no secret ${name}`);
    return Buffer.from(value);
  }

  #faulty(): PolicyStore {
    const policy = this.#policy;
    const world = this;
    return {
      get version() {
        return policy.version;
      },
      resource(key) {
        const found = policy.resource(key);
        if (found === null || !world.judgeThrows) return found;
        return {
          resource: found.resource,
          namesMatter: found.namesMatter,
          asksApproval: found.asksApproval,
          readOnly: (principals) => found.readOnly(principals),
          limits: (principals) => found.limits(principals),
          masking: (principals) => found.masking(principals),
          judge: () => {
            throw new Error('broken');
          },
        };
      },
      why: (key) => policy.why(key),
      onChange: (listener) => policy.onChange(listener),
    };
  }
}
