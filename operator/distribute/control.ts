/** The services behind mTLS: ADS, and what a sidecar asks for beside it. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { type Server, status } from '@grpc/grpc-js';
import {
  type ApprovalCall,
  type ApprovalStateSchema,
  type CountersignRequest,
  type CountersignResponseSchema,
  type RecordingSlotsRequest,
  type RecordingSlotsResponseSchema,
  type ReportRequest,
  type SecretsUpdateSchema,
  Sidecar,
} from '#crds/gen/chaperone/v1/sidecar_pb.js';
import { AggregatedDiscoveryService } from '#crds/gen/envoy/service/discovery/v3/ads_pb.js';
import { type AdsStream, BEHIND, createAdsStream } from './ads-stream.ts';
import type { AckBoardWriter } from './board.ts';
import type { SidecarPeer } from './peer.ts';
import type { Caller, Peers } from './peers.ts';
import { createRateLimiter, type RateLimit } from './rate.ts';
import { type Call, CallError, peerCertificateOf, type Sink, serializer, serveDuplex, serveStream, serveUnary } from './rpc.ts';
import type { Freshness, Log, PodEvents, SnapshotSource } from './sources.ts';
import { createStreams, type OpenStream } from './streams.ts';

/** What the other parts of the operator answer. A part that is not there answers UNIMPLEMENTED. An error that is no CallError says nothing but INTERNAL. */
export interface ControlHandlers {
  readonly approvals?: (
    peer: SidecarPeer,
    send: (state: MessageInitShape<typeof ApprovalStateSchema>) => void,
  ) => { call(message: ApprovalCall): void; end(): void };
  readonly slots?: (peer: SidecarPeer, request: RecordingSlotsRequest) => Promise<MessageInitShape<typeof RecordingSlotsResponseSchema>>;
  readonly countersign?: (peer: SidecarPeer, request: CountersignRequest) => Promise<MessageInitShape<typeof CountersignResponseSchema>>;
  /** Sends until the sink has ended. */
  readonly secrets?: (peer: SidecarPeer, sink: Sink<MessageInitShape<typeof SecretsUpdateSchema>>) => void;
  readonly report?: (peer: SidecarPeer, request: ReportRequest) => void;
}

export interface ControlOptions {
  readonly peers: Peers;
  readonly snapshots: SnapshotSource;
  /** Whether what this replica knows of the cluster is up to date: without that it gives out neither policy nor credentials. */
  readonly freshness: Freshness;
  readonly board: AckBoardWriter;
  readonly handlers: ControlHandlers;
  readonly events: PodEvents;
  readonly log: Log;
  readonly now: () => number;
  /** Between two heartbeats of a stream; thirty seconds where nothing is said. */
  readonly heartbeatMs?: number;
  /** How often open streams are looked at: pod, key, certificate. */
  readonly reviewMs?: number;
  readonly ackTimeoutMs?: number;
  /** Unary calls of one sidecar. */
  readonly rate?: RateLimit;
  /** Messages of one sidecar on all of its streams. */
  readonly messageRate?: RateLimit;
}

export interface ControlServices {
  /** Ends all streams: the sidecars go to another replica. */
  close(): void;
}

const HEARTBEAT_MS = 30_000;
const LEAVE_MS = 30_000;
const REVIEW_MS = 15_000;
const ACK_TIMEOUT_MS = 30_000;
const RATE: RateLimit = { perSecond: 20, burst: 200 };
/** A sidecar that comes back raises what it holds and withdraws what it has given up: 1200 messages at most. */
const MESSAGE_RATE: RateLimit = { perSecond: 50, burst: 2000 };

interface AdsEntry extends OpenStream {
  readonly ads: AdsStream;
}

export function addControlServices(server: Server, options: ControlOptions): ControlServices {
  const { peers, handlers } = options;
  const ads = createStreams<AdsEntry>();
  const others = { secrets: createStreams<OpenStream>(), approvals: createStreams<OpenStream>() };
  const limiter = createRateLimiter(options.rate ?? RATE, () => performance.now());

  const messages = createRateLimiter(options.messageRate ?? MESSAGE_RATE, () => performance.now());
  /** What it throws ends the stream. */
  const limited = <T>(podUid: string, receive: (message: T) => void) => {
    return (message: T): void => {
      if (!messages.take(podUid)) throw new CallError(status.RESOURCE_EXHAUSTED, 'too many messages');
      receive(message);
    };
  };

  const callerOf = async (call: Call): Promise<Caller> => {
    const caller = await peers.verify(peerCertificateOf(call));
    if (!limiter.take(caller.peer.podUid)) throw new CallError(status.RESOURCE_EXHAUSTED, 'too many calls');
    return caller;
  };
  const open = (streams: ReturnType<typeof createStreams<OpenStream>>, caller: Caller, sink: Sink<never>): void => {
    const stream = { caller, end: (error: CallError) => sink.end(error) };
    streams.add(stream);
    sink.ended.addEventListener('abort', () => streams.remove(stream), { once: true });
  };

  serveDuplex(
    server,
    AggregatedDiscoveryService.method.streamAggregatedResources,
    async (sink: Sink<Buffer>, call) => {
      const caller = await callerOf(call);
      const entry = adsEntry(options, caller, sink);
      ads.add(entry);
      const closed = () => {
        entry.ads.close();
        if (ads.remove(entry)) options.board.closed(caller.peer.podUid);
      };
      if (sink.ended.aborted) closed();
      else sink.ended.addEventListener('abort', closed, { once: true });
      return limited(caller.peer.podUid, (request) => entry.ads.receive(request));
    },
    (bytes) => bytes,
  );
  serveStream(server, Sidecar.method.watchSecrets, async (_request, sink, call) => {
    if (handlers.secrets === undefined) throw new CallError(status.UNIMPLEMENTED, 'no Secrets here');
    const caller = await callerOf(call);
    if (!(await options.freshness.prove())) throw new CallError(status.UNAVAILABLE, BEHIND);
    open(others.secrets, caller, sink);
    handlers.secrets(caller.peer, sink);
  });
  serveDuplex(
    server,
    Sidecar.method.approvals,
    async (sink: Sink<MessageInitShape<typeof ApprovalStateSchema>>, call) => {
      if (handlers.approvals === undefined) throw new CallError(status.UNIMPLEMENTED, 'no approvals here');
      const caller = await callerOf(call);
      open(others.approvals, caller, sink);
      const stream = handlers.approvals(caller.peer, (state) => sink.send(state));
      if (sink.ended.aborted) stream.end();
      else sink.ended.addEventListener('abort', () => stream.end(), { once: true });
      return limited(caller.peer.podUid, (message) => stream.call(message));
    },
    serializer(Sidecar.method.approvals),
  );
  serveUnary(server, Sidecar.method.recordingSlots, async (request, call) => {
    if (handlers.slots === undefined) throw new CallError(status.UNIMPLEMENTED, 'no bucket is configured');
    return handlers.slots((await callerOf(call)).peer, request);
  });
  serveUnary(server, Sidecar.method.countersign, async (request, call) => {
    if (handlers.countersign === undefined) throw new CallError(status.UNIMPLEMENTED, 'no bucket is configured');
    return handlers.countersign((await callerOf(call)).peer, request);
  });
  serveUnary(server, Sidecar.method.report, async (request, call) => {
    const { peer } = await callerOf(call);
    reported(options, peer, request.restartRequiredFor);
    const resources = new Set(options.snapshots.current(peer)?.snapshot.resources.map(({ namespace, name }) => `${namespace}/${name}`));
    options.board.assured(peer.podUid, request.assurances, (resource) => resources.has(resource));
    handlers.report?.(peer, request);
    return {};
  });

  const stopListening = options.snapshots.onChange(({ namespace, serviceAccount }) => {
    for (const { caller, ads: stream } of ads.all()) {
      if (caller.peer.namespace === namespace && caller.peer.serviceAccount === serviceAccount) stream.update();
    }
  });
  const heartbeatMs = options.heartbeatMs ?? HEARTBEAT_MS;
  let provenAt = performance.now();
  const beat = async () => {
    if (ads.size === 0 || (await options.freshness.prove())) {
      provenAt = performance.now();
      for (const entry of ads.all()) entry.ads.heartbeat();
    } else if (performance.now() - provenAt > Math.max(LEAVE_MS, 3 * heartbeatMs)) {
      // Changes may not reach them here: another replica may be better off.
      ads.endAll(new CallError(status.UNAVAILABLE, BEHIND));
    }
  };
  const heartbeat = setInterval(() => void beat(), heartbeatMs);
  const review = setInterval(() => {
    for (const streams of [ads, others.secrets, others.approvals]) void streams.review(peers);
  }, options.reviewMs ?? REVIEW_MS);
  return {
    close() {
      stopListening();
      clearInterval(heartbeat);
      clearInterval(review);
      const gone = new CallError(status.UNAVAILABLE, 'this replica is going down');
      for (const streams of [ads, others.secrets, others.approvals]) streams.endAll(gone);
    },
  };
}

/** What came after the pod is told once, on the pod: who wrote the ProtectedResource may not see which pods there are. */
function reported({ board, events }: ControlOptions, { namespace, pod, podUid }: SidecarPeer, restartRequiredFor: readonly string[]): void {
  const known = () => board.get(podUid)?.restartRequiredFor ?? [];
  const before = known();
  board.reported(podUid, restartRequiredFor);
  const added = known().filter((name) => !before.includes(name));
  if (added.length === 0) return;
  const note = `${added.join(', ')} came after this pod: restart it, so that its agent reaches ${added.length === 1 ? 'it' : 'them'}.`;
  events.emit('RestartRequired', { namespace, name: pod, uid: podUid }, note);
}

function adsEntry(options: ControlOptions, caller: Caller, sink: Sink<Buffer>): AdsEntry {
  const { snapshots, board, events, log } = options;
  const { peer } = caller;
  const { namespace, serviceAccount, pod, podUid } = peer;
  const about = { namespace, pod, podUid };
  const ads = createAdsStream({
    name: `${namespace}/${serviceAccount}`,
    current: () => snapshots.current({ namespace, serviceAccount }),
    freshness: options.freshness,
    send: (bytes) => sink.send(bytes),
    end: (error) => sink.end(error),
    ackTimeoutMs: options.ackTimeoutMs ?? ACK_TIMEOUT_MS,
    onSubscribed: (sidecarVersion, version) => {
      log.info({ ...about, sidecarVersion, version }, 'a sidecar subscribed');
      board.opened(peer, sidecarVersion, options.now(), version);
    },
    onAck: (version) => board.acked(podUid, version),
    onNack: (version, problems) => {
      log.warn({ ...about, version, problems }, 'a sidecar refused a snapshot');
      board.refused(podUid, version, problems);
      events.emit('SnapshotRejected', { namespace, name: pod, uid: podUid }, `${version}: ${problems.join('; ')}`);
    },
    onForeignName: (names) => log.warn({ ...about, names: names.slice(0, 5) }, 'a sidecar asked for the snapshot of another workload'),
  });
  return { caller, ads, end: (error) => sink.end(error) };
}
