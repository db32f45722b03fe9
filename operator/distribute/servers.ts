/** The operator's two gRPC servers: enrolment (TLS) and control (mTLS). */
import { experimental, Server, type ServerCredentials, type ServerOptions, status } from '@grpc/grpc-js';
import { Enrolment } from '#crds/gen/chaperone/v1/enrolment_pb.js';
import type { ServingCertificate } from '../pki/serving.ts';
import { certificateProvider } from './certificates.ts';
import { addControlServices, type ControlOptions } from './control.ts';
import { type Door, type DoorLimits, openDoor } from './door.ts';
import { createEnrolment, type EnrolmentOptions } from './enrol.ts';
import { createPeers, type PeersOptions } from './peers.ts';
import { createRateLimiter, type RateLimit } from './rate.ts';
import { CallError, serveUnary } from './rpc.ts';
import type { Pods } from './sources.ts';

export interface ControlServersOptions {
  readonly serving: ServingCertificate;
  readonly enrolment: EnrolmentOptions;
  readonly control: Omit<ControlOptions, 'peers'>;
  readonly pods: Pods;
  readonly cachedKeyOf?: PeersOptions['cachedKeyOf'];
  /** Where to listen, and on which ports; 0 takes a free one. */
  readonly host: string;
  readonly ports: { readonly enrolment: number; readonly control: number };
  /** Enrolments of one address. */
  readonly enrolmentRate?: RateLimit;
  readonly limits?: { readonly enrolment: DoorLimits; readonly control: DoorLimits };
}

export interface ControlServers {
  readonly ports: { readonly enrolment: number; readonly control: number };
  /** Ends the streams, so that sidecars go to another replica, and gives calls a moment. */
  close(): Promise<void>;
}

const MiB = 1024 * 1024;
const MAX_SNAPSHOT_BYTES = 16 * MiB;
const ENROLMENTS_AT_ONCE = 32;
const ENROLMENT_RATE: RateLimit = { perSecond: 2, burst: 40 };
const GRACE_MS = 1000;
/**
 * An enrolment is one call, and the caller ends the connection after it. A sidecar has one connection to each replica, and a second while it renews; where the
 * network hides pods behind their node, all of a node's have one address.
 */
const LIMITS = {
  enrolment: { connections: 1024, perAddress: 64, lifeMs: 30_000 },
  control: { connections: 20_000, perAddress: 512 },
};

const OPTIONS: ServerOptions = {
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.max_connection_idle_ms': 10 * 60_000,
  'grpc.max_concurrent_streams': 100,
};

/** Rejects where a port can't be had. */
export async function startControlServers(options: ControlServersOptions): Promise<ControlServers> {
  const provider = certificateProvider(options.serving);
  const enrolment = new Server({ ...OPTIONS, 'grpc.max_receive_message_length': MiB / 16 });
  const control = new Server({
    ...OPTIONS,
    'grpc.max_receive_message_length': 4 * MiB,
    'grpc.max_send_message_length': MAX_SNAPSHOT_BYTES + MiB,
  });
  addEnrolment(enrolment, options);
  const { trustDomain, bindings, log, now } = options.enrolment;
  const services = addControlServices(control, {
    ...options.control,
    peers: createPeers({ trustDomain, pods: options.pods, bindings, cachedKeyOf: options.cachedKeyOf, log, now }),
  });
  const doors: Door[] = [];
  const close = async () => {
    for (const door of doors) door.shut();
    services.close();
    await Promise.all([enrolment, control].map(shutDown));
    for (const door of doors) door.clear();
  };
  const { host, ports, limits = LIMITS } = options;
  const open = async (name: 'enrolment' | 'control', server: Server, credentials: ServerCredentials) => {
    const onTurnedAway = (count: number) =>
      log.warn({ port: name, count }, 'connections were turned away: there are too many, or too many from one address');
    const door = await openDoor({ server, credentials, host, port: ports[name], limits: limits[name], onTurnedAway });
    doors.push(door);
    return door.port;
  };
  try {
    // Without a provider of CAs no client certificate is asked for.
    const anyone = experimental.createCertificateProviderServerCredentials(provider, null, false);
    const certified = experimental.createCertificateProviderServerCredentials(provider, provider, true);
    return { ports: { enrolment: await open('enrolment', enrolment, anyone), control: await open('control', control, certified) }, close };
  } catch (error: unknown) {
    await close();
    throw error;
  }
}

function addEnrolment(server: Server, { enrolment, enrolmentRate = ENROLMENT_RATE }: ControlServersOptions): void {
  const enrol = createEnrolment(enrolment);
  const limiter = createRateLimiter(enrolmentRate, () => performance.now());
  let running = 0;
  serveUnary(server, Enrolment.method.enrol, async (request, call) => {
    const from = call.getPeer().replace(/:\d+$/, '');
    // Each one is a question to the API server.
    if (running >= ENROLMENTS_AT_ONCE || !limiter.take(from)) throw new CallError(status.RESOURCE_EXHAUSTED, 'too many enrolments');
    running++;
    try {
      return await enrol(request, from);
    } finally {
      running--;
    }
  });
}

function shutDown(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, GRACE_MS);
    server.tryShutdown(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
