/**
 * One sidecar's ADS stream, state of the world: at most one response is open, and after its ACK or NACK the newest snapshot follows, so that a slow
 * reader costs one response and never a queue.
 */
import { status } from '@grpc/grpc-js';
import { TYPE_URL } from '#crds/control/names.ts';
import type { DiscoveryRequest } from '#crds/gen/envoy/service/discovery/v3/discovery_pb.js';
import { heartbeatResponse, type Response, snapshotResponse } from './ads-message.ts';
import { CallError } from './rpc.ts';
import type { CurrentSnapshot, Freshness } from './sources.ts';

export const BEHIND = "this replica can't tell whether its policy is the cluster's";

export interface AdsStreamOptions {
  /** `NAMESPACE/SERVICEACCOUNT` of the caller: the only resource that it may have. */
  readonly name: string;
  readonly current: () => CurrentSnapshot | null;
  /** A replica that is behind would restore what was revoked: nothing is sent before it has proven, since the sidecar came, that it is not. */
  readonly freshness: Freshness;
  readonly send: (bytes: Buffer) => void;
  readonly end: (error: CallError) => void;
  readonly ackTimeoutMs: number;
  readonly onSubscribed: (sidecarVersion: string, version: string | null) => void;
  readonly onAck: (version: string) => void;
  readonly onNack: (version: string, problems: readonly string[]) => void;
  readonly onForeignName: (names: readonly string[]) => void;
}

export interface AdsStream {
  receive(request: DiscoveryRequest): void;
  /** Sends the newest snapshot where the sidecar does not have it. */
  update(): void;
  /** Says that what the sidecar has still holds, which has just been proven. */
  heartbeat(): void;
  close(): void;
}

export function createAdsStream(options: AdsStreamOptions): AdsStream {
  let subscribed = false;
  let proven = false;
  let closed = false;
  let open: Response | null = null;
  /** What the sidecar enforces, as it says. */
  let has: string | null = null;
  /** Not sent again: it would be refused again. */
  let refused: string | null = null;
  let timer: NodeJS.Timeout | undefined;

  const send = (response: Response) => {
    open = response;
    clearTimeout(timer);
    timer = setTimeout(() => options.end(new CallError(status.DEADLINE_EXCEEDED, 'no ACK in time')), options.ackTimeoutMs).unref();
    options.send(response.bytes);
  };
  const next = () => (proven && !closed && open === null ? options.current() : null);

  const update = () => {
    const current = next();
    if (current === null || current.version === has || current.version === refused) return;
    send(snapshotResponse(options.name, current, options.freshness.revisions()));
  };
  /** Says that what the sidecar has still holds. */
  const confirm = (current: CurrentSnapshot) => send(heartbeatResponse(options.name, current, options.freshness.revisions()));

  const first = async () => {
    const fresh = await options.freshness.prove();
    if (closed) return;
    // Another replica may be better off.
    if (!fresh) return options.end(new CallError(status.UNAVAILABLE, BEHIND));
    proven = true;
    const current = next();
    // What it has is confirmed at once: the time without an operator counted against its TTL.
    if (current !== null && current.version === has) confirm(current);
    else update();
  };

  const subscribe = (request: DiscoveryRequest) => {
    const foreign = request.resourceNames.filter((name) => name !== options.name);
    if (foreign.length > 0) {
      options.onForeignName(foreign);
      return options.end(new CallError(status.PERMISSION_DENIED, `the only resource for this sidecar is ${options.name}`));
    }
    if (subscribed) return;
    subscribed = true;
    has = /^sha256:[0-9a-f]{64}$/.test(request.versionInfo) ? request.versionInfo : null;
    const build = request.node?.userAgentVersionType;
    options.onSubscribed(build?.case === 'userAgentVersion' && build.value !== '' ? build.value.slice(0, 64) : 'unknown', has);
    void first();
  };

  return {
    receive(request) {
      if (request.typeUrl !== TYPE_URL) return options.end(new CallError(status.INVALID_ARGUMENT, 'this type of resource is not served'));
      subscribe(request);
      if (request.responseNonce === '' || request.responseNonce !== open?.nonce) return;
      clearTimeout(timer);
      const { version, nonce } = open;
      open = null;
      if (request.errorDetail !== undefined && nonce !== version) {
        // It does not have what the heartbeat was about.
        has = null;
      } else if (request.errorDetail === undefined) {
        has = version;
        refused = null;
        options.onAck(version);
      } else {
        refused = version;
        options.onNack(version, request.errorDetail.message.split('\n').filter(Boolean));
      }
      update();
    },
    update,
    heartbeat() {
      const current = next();
      if (current === null) return;
      if (current.version === has) confirm(current);
      else update();
    },
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}
