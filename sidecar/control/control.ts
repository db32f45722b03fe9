/**
 * The sidecar's side of the operator: enrols, renews in time, and keeps its streams open on one mTLS channel. Nothing here decides about policy: while
 * the operator is away the last good snapshot stays, until its TTL.
 */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Client } from '@grpc/grpc-js';
import {
  type ApprovalCallSchema,
  type ApprovalState,
  type CountersignRequestSchema,
  type CountersignResponse,
  type RecordingSlotsRequestSchema,
  type RecordingSlotsResponse,
  type ReportRequestSchema,
  Sidecar,
} from '#crds/gen/chaperone/v1/sidecar_pb.js';
import type { Log } from '../pipeline.ts';
import { createAds, type SnapshotTarget } from './ads.ts';
import { createApprovalsStream } from './approvals.ts';
import { createBackoff } from './backoff.ts';
import { controlClient, type OperatorAddress } from './channel.ts';
import { type EnrolOptions, enrol, type Identity } from './enrol.ts';
import { ControlError } from './errors.ts';
import { newChannelKey } from './keys.ts';
import { callUnary, controlError } from './rpc.ts';
import { createSecretsStream, type Secrets } from './secrets.ts';
import type { KeptStream } from './stream.ts';

export interface ControlOptions
  extends Pick<EnrolOptions, 'tokenFile' | 'caFile' | 'recordingPublicKey' | 'sidecarVersion' | 'capabilities'> {
  readonly operator: OperatorAddress;
  readonly log: Log;
  readonly now: () => number;
  /** How long no stream may be open before the connection is begun anew. */
  readonly unreachedMs?: number;
  /** After each renewal: the recording key has a new certificate. */
  readonly onRenewed?: (identity: Identity) => void;
}

export interface ControlTarget extends SnapshotTarget {
  secrets(secrets: Secrets): void;
}

export interface Control {
  /** As it was first certified; renewals change only the certificates. */
  readonly identity: Identity;
  /** ApprovalChannel of sidecar/approvals. */
  readonly approvals: {
    readonly connected: boolean;
    send(call: MessageInitShape<typeof ApprovalCallSchema>): void;
    onState(listener: (state: ApprovalState) => void): () => void;
    onReconnect(listener: () => void): () => void;
  };
  readonly connected: boolean;
  /** Snapshots and Secrets go there from now on. */
  attach(target: ControlTarget): void;
  /** These reject with ControlError. */
  slots(request: MessageInitShape<typeof RecordingSlotsRequestSchema>): Promise<RecordingSlotsResponse>;
  countersign(request: MessageInitShape<typeof CountersignRequestSchema>): Promise<CountersignResponse>;
  report(request: MessageInitShape<typeof ReportRequestSchema>): Promise<void>;
  close(): void;
}

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 20_000;
const CALL_TIMEOUT_MS = 10_000;

/** Resolves when the operator has certified this sidecar, however long that takes; rejects with ControlError (Closed) where `signal` is given. */
export async function startControl(options: ControlOptions, signal: AbortSignal): Promise<Control> {
  const key = newChannelKey();
  const identity = await enrolUntil(options, key, '', signal);
  return connected(options, key, identity);
}

async function enrolUntil(options: ControlOptions, key: EnrolOptions['key'], knownBundle: string, signal: AbortSignal): Promise<Identity> {
  const backoff = createBackoff(FIRST_RETRY_MS, LONGEST_RETRY_MS);
  for (;;) {
    if (signal.aborted) throw new ControlError('Closed', 'given up');
    try {
      return await enrol({ ...options, key, knownBundle });
    } catch (error: unknown) {
      const { code, message } = controlError(error);
      options.log.warn({ code, operator: options.operator.host }, `not enrolled: ${message}`);
    }
    await pause(backoff.next(), signal);
  }
}

function connected(options: ControlOptions, key: EnrolOptions['key'], first: Identity): Control {
  const { log, now } = options;
  const closing = new AbortController();
  const approvals = createApprovalsStream();
  const streams: KeptStream[] = [approvals.stream];
  let current = first;
  let client: Client = clientOf(options, key, first);
  let ads: KeptStream | null = null;
  let renewing = false;
  let timer: NodeJS.Timeout | undefined;
  let reachedAt = performance.now();

  const replaceClient = () => {
    const old = client;
    client = clientOf(options, key, current);
    for (const stream of streams) stream.use(client);
    old.close();
  };
  const looking = setInterval(() => {
    const since = performance.now() - reachedAt;
    if (streams.some((stream) => stream.connected)) reachedAt = performance.now();
    else if (since > (options.unreachedMs ?? UNREACHED_MS)) {
      reachedAt = performance.now();
      replaceClient();
    }
  }, 1000).unref();

  const renew = async () => {
    if (renewing || closing.signal.aborted) return;
    renewing = true;
    try {
      const next = await enrolUntil(options, key, current.caBundle, closing.signal);
      current = next;
      replaceClient();
      log.info({ renewAt: new Date(next.renewAtMs).toISOString() }, 'the certificate was renewed');
      options.onRenewed?.(next);
      plan();
    } catch (error: unknown) {
      if (!closing.signal.aborted) log.error({ error: controlError(error).message }, 'the certificate was not renewed');
    } finally {
      renewing = false;
    }
  };
  const plan = () => {
    clearTimeout(timer);
    // Never more often than once a second, whatever the operator says.
    timer = setTimeout(() => void renew(), Math.max(1000, Math.min(current.renewAtMs - now(), 2 ** 31 - 1))).unref();
  };
  const call = async <T>(run: (on: Client) => Promise<T>): Promise<T> => {
    if (closing.signal.aborted) throw new ControlError('Closed', 'the sidecar is going down');
    return run(client);
  };

  plan();
  approvals.stream.use(client);
  return {
    identity: first,
    get connected() {
      return ads?.connected ?? false;
    },
    approvals: {
      get connected() {
        return approvals.stream.connected;
      },
      send: (message) => approvals.send(message),
      onState: (listener) => approvals.onState(listener),
      onReconnect: (listener) => approvals.onReconnect(listener),
    },
    attach(target) {
      const onEnd = (error: ControlError | null) => {
        log.warn({ code: error?.code ?? 'Ended' }, `the stream of policy ended: ${error?.message ?? 'the operator closed it'}`);
        // The certificate may be what is wrong: it ended, or the operator's CA is another by now.
        if (error?.code === 'Refused' && now() >= current.expiresAtMs - MARGIN_MS) void renew();
      };
      ads = createAds({ name: `${first.namespace}/${first.serviceAccount}`, sidecarVersion: options.sidecarVersion, target, log, onEnd });
      streams.push(
        ads,
        createSecretsStream(
          () => target.version,
          (secrets) => target.secrets(secrets),
        ),
      );
      for (const stream of streams.slice(1)) stream.use(client);
    },
    slots: (request) => call((on) => callUnary(on, Sidecar.method.recordingSlots, request, CALL_TIMEOUT_MS)),
    countersign: (request) => call((on) => callUnary(on, Sidecar.method.countersign, request, CALL_TIMEOUT_MS)),
    report: async (request) => void (await call((on) => callUnary(on, Sidecar.method.report, request, CALL_TIMEOUT_MS))),
    close() {
      closing.abort();
      clearTimeout(timer);
      clearInterval(looking);
      for (const stream of streams) stream.close();
      client.close();
    },
  };
}

const MARGIN_MS = 5_000;
/** A connection begun to a replica that is gone hangs until TCP gives up, which takes minutes; gRPC has no limit of its own. So it is begun anew. */
const UNREACHED_MS = 10_000;

function clientOf({ operator }: ControlOptions, { key }: EnrolOptions['key'], { caBundle, certificateChain }: Identity): Client {
  return controlClient(operator, { ca: caBundle, key, chain: certificateChain });
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener(
      'abort',
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
