/** One sidecar's approvals: what it raises and withdraws, and how its requests stand. */
import type { ApprovalCallMessage, ApprovalRaiseMessage, ApprovalStateMessage } from '#crds/control/approvals.ts';
import type { SnapshotGate } from '#crds/policy/snapshot.ts';
import type { ApprovalRequest } from '#crds/v1alpha1/internal-kinds.ts';
import type { ApprovalController } from './controller.ts';
import { type ApprovalPeer, requestOf } from './raise.ts';
import { messageOf, refusedMessage, removedMessage } from './state.ts';

export interface ApprovalStreamOptions {
  readonly controller: ApprovalController;
  /**
   * The gates that the peer's own snapshot has for a resource, as this replica compiles it; null where it has no such resource. What a sidecar
   * can't reach it can't ask for, so it can't disturb the approvers of other namespaces.
   */
  readonly gatesOf: (peer: ApprovalPeer, namespace: string, resource: string) => readonly SnapshotGate[] | null;
  readonly now: () => number;
  readonly log: { warn(fields: object, message: string): void };
  /** How long the sidecar's snapshot and ours may differ before a raise is refused. */
  readonly settleMs?: number;
}

export interface ApprovalStream {
  call(message: ApprovalCallMessage): void;
  /** The sidecar went away. Its requests stay: it may come back, to another replica. */
  end(): void;
}

const SETTLE_MS = 5000;
const LOOK_AGAIN_MS = 200;
const RETRY_MS = 1000;
const MAX_ATTEMPTS = 600;
/** More than a sidecar may have waiting in all. */
const MAX_FOLLOWED = 1000;
/** Raises and withdrawals under way. A sidecar that comes back raises all that it holds, which are 200 at most. */
const MAX_BUSY = 256;

export function openApprovalStream(
  options: ApprovalStreamOptions,
  peer: ApprovalPeer,
  send: (state: ApprovalStateMessage) => void,
): ApprovalStream {
  const { controller } = options;
  const followed = new Set<string>();
  const withdrawn = new Map<string, string>();
  const ended = new AbortController();
  let busy = 0;
  const stopWatching = controller.onChange(({ type, request }) => {
    if (!followed.has(request.spec.id) || !isOf(request, peer)) return;
    send(type === 'Set' ? messageOf(request) : removedMessage(request));
  });

  const raise = async (call: ApprovalRaiseMessage): Promise<void> => {
    if (followed.size >= MAX_FOLLOWED) return send(refusedMessage(call.id, 'too many requests on one stream'));
    await controller.synced;
    const known = controller.find(call.id);
    const request = known ?? (await raised(options, peer, call, ended.signal));
    if (ended.signal.aborted) return;
    if (typeof request === 'string') return send(refusedMessage(call.id, request));
    // Somebody else's id, or another id that gives the same name.
    if (request.spec.id !== call.id || !isOf(request, peer)) return send(refusedMessage(call.id, 'this id is taken'));
    followed.add(call.id);
    const reason = withdrawn.get(call.id);
    if (reason !== undefined) return controller.withdraw(request, reason);
    // The watch may have been quicker.
    send(messageOf(controller.find(call.id) ?? request));
  };

  const withdraw = async (id: string, reason: string): Promise<void> => {
    const request = controller.find(id);
    // Not there yet: the raise is under way.
    if (request === undefined) return void (withdrawn.size < MAX_FOLLOWED && withdrawn.set(id, reason));
    if (isOf(request, peer)) await controller.withdraw(request, reason);
  };

  /** An API server that does not answer makes the sidecar wait, up to its own timeout. */
  const persevere = async (id: string, work: () => Promise<void>): Promise<void> => {
    if (busy >= MAX_BUSY) return send(refusedMessage(id, 'too many requests at once'));
    busy++;
    try {
      await persist(work);
    } finally {
      busy--;
    }
  };
  const persist = async (work: () => Promise<void>): Promise<void> => {
    for (let attempt = 0; !ended.signal.aborted && attempt < MAX_ATTEMPTS; attempt++) {
      try {
        return await work();
      } catch (error: unknown) {
        options.log.warn({ pod: `${peer.namespace}/${peer.pod}` }, `approval: ${error instanceof Error ? error.message : 'unknown'}`);
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref());
      }
    }
  };

  return {
    call: ({ call }) => {
      switch (call.case) {
        case 'raise':
          void persevere(call.value.id, () => raise(call.value));
          return;
        case 'withdraw':
          void persevere(call.value.id, () => withdraw(call.value.id, call.value.reason));
          return;
        case undefined:
          // A newer sidecar's call.
          return;
        default:
          call satisfies never;
      }
    },
    end: () => {
      ended.abort();
      stopWatching();
    },
  };
}

/** The object, or why there is none. */
async function raised(
  options: ApprovalStreamOptions,
  peer: ApprovalPeer,
  call: ApprovalRaiseMessage,
  signal: AbortSignal,
): Promise<ApprovalRequest | string> {
  const gates = await agreedGates(options, peer, call, signal);
  if (typeof gates === 'string') return gates;
  const request = requestOf(call, peer, gates, options.now());
  if (request === null) return 'the request is malformed';
  return options.controller.limit(request) ?? (await options.controller.create(request));
}

/** The sidecar's snapshot or ours may be the older one for a moment. */
async function agreedGates(
  options: ApprovalStreamOptions,
  peer: ApprovalPeer,
  call: ApprovalRaiseMessage,
  signal: AbortSignal,
): Promise<readonly SnapshotGate[] | string> {
  const until = options.now() + (options.settleMs ?? SETTLE_MS);
  for (;;) {
    const known = options.gatesOf(peer, call.resourceNamespace, call.resourceName) ?? [];
    const gates = call.gates.map(({ name, generation }) =>
      known.find((gate) => gate.name === name && BigInt(gate.generation) === generation),
    );
    if (gates.length > 0 && gates.every((gate) => gate !== undefined)) return gates;
    if (signal.aborted || options.now() >= until) return 'the gates are not those of the policy of this workload';
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
}

function isOf({ spec }: ApprovalRequest, peer: ApprovalPeer): boolean {
  return spec.sidecar.podUid === peer.podUid;
}
