import { connect } from 'node:net';
import type { SnapshotPolicy, SnapshotRule } from '#crds/policy/snapshot.ts';
import type { Listener } from '../../listener/listen.ts';
import type { Driver, DriverContext } from '../../pipeline.ts';
import type { Relay } from './relay.ts';
import { GATE, type ResourcePart, snapshotOf } from './snapshots.ts';
import type { World } from './world.ts';

/** The three things that a contract's client can ask for: one that a rule allows, one that a rule denies, one that a rule holds. */
export type Ask = 'allowed' | 'denied' | 'held';

export type Answer =
  | { readonly type: 'ok' }
  /** An error in the protocol's own form. */
  | { readonly type: 'refused'; readonly text: string }
  /** The connection ended without an answer. */
  | { readonly type: 'closed' };

export interface ContractClient {
  ask(what: Ask): Promise<Answer>;
  /** Ends the connection without waiting for anything. */
  vanish(): void;
  /** All bytes that came from the driver. */
  readonly received: Buffer;
}

export interface ContractTarget {
  /** Real, behind a relay that counts. */
  readonly relay: Relay;
  readonly resource: ResourcePart;
  /** `namespace/secret/key` and values: generated at run time. */
  readonly secrets: ReadonlyMap<string, string>;
  /** What must appear nowhere but on the way to the target. */
  readonly credential: string;
  /** The part of a rule that each ask matches, and no other. */
  readonly matches: { readonly [ask in Ask]: Pick<SnapshotRule, 'sql'> | Pick<SnapshotRule, 'http'> };
  /** Text that reaches the target with each ask, and only with it. */
  readonly markers: { readonly [ask in Ask]: string };
  /** Bytes that are no request of the protocol. */
  readonly garbage: readonly Buffer[];
  driver(context: DriverContext): Driver;
  /** Rejects or gives a client whose asks are refused where the connection is. */
  connect(port: number, token: string | null): Promise<ContractClient>;
  close(): Promise<void>;
}

export interface Stage {
  readonly world: World;
  readonly driver: Driver;
  readonly listener: Listener;
  readonly target: ContractTarget;
  publish(generation: number, actions?: Partial<{ readonly [ask in Ask]: SnapshotRule['action'] | null }>, over?: Over): void;
  client(token?: string): Promise<ContractClient>;
  /** How often the target was touched by what an ask sends. */
  touched(what: Ask): number;
}
type Over = { readonly subjects?: SnapshotPolicy['subjects']; readonly timeoutSeconds?: number };

const ACTIONS = { allowed: 'Allow', denied: 'Deny', held: 'RequireApproval' } as const;

const started = new Map<() => Promise<ContractTarget>, Promise<ContractTarget>>();

/** One target for all cases of a file: a real server takes its time to start. */
export function shared(start: () => Promise<ContractTarget>): Promise<ContractTarget> {
  const known = started.get(start) ?? start();
  started.set(start, known);
  return known;
}

export async function stageOf(world: World, target: ContractTarget): Promise<Stage> {
  for (const [name, value] of target.secrets) world.secrets.set(name, value);
  const driver = target.driver(world.context);
  const listener = await world.serve(driver, target.resource.name);
  const clients: ContractClient[] = [];
  world.cleanup(async () => {
    for (const client of clients) client.vanish();
  });
  return {
    world,
    driver,
    listener,
    target,
    touched: (what) => target.relay.count(target.markers[what]),
    publish(generation, actions = {}, { subjects, timeoutSeconds } = {}) {
      const rules = (['allowed', 'denied', 'held'] as const).flatMap((ask) => {
        const action = ask in actions ? (actions[ask] ?? null) : ACTIONS[ask];
        return action === null ? [] : [{ name: `no-${ask}`, action, ...target.matches[ask] }];
      });
      const gate = timeoutSeconds === undefined ? GATE : { ...GATE, timeoutSeconds };
      world.publish(snapshotOf(target.resource, { generation, rules, ...(subjects !== undefined && { subjects }) }, gate));
    },
    async client(token) {
      const client = await target.connect(listener.port, token ?? null);
      clients.push(client);
      return client;
    },
  };
}

/** A connection that is refused is an answer too. */
export async function askOnce(client: () => Promise<ContractClient>, what: Ask): Promise<Answer> {
  try {
    return await (await client()).ask(what);
  } catch {
    return { type: 'closed' };
  }
}

/** Sends bytes and waits for the driver to close. */
export function send(port: number, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.end(bytes));
    socket.on('error', () => {});
    socket.on('close', () => resolve());
    socket.resume();
  });
}

/** Waits for a condition that another party brings about; the test's own timeout ends it. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

export async function stop(start: () => Promise<ContractTarget>): Promise<void> {
  const target = started.get(start);
  started.delete(start);
  await (await target)?.close();
}
