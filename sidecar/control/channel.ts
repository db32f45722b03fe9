/** gRPC channels to the operator: TLS for enrolment, mTLS with the certificate for all else. */
import { type ChannelOptions, Client, credentials } from '@grpc/grpc-js';

export interface OperatorAddress {
  /** DNS name; an IP address is no name that TLS could send. Several addresses behind a name are used in turn. */
  readonly host: string;
  readonly enrolmentPort: number;
  readonly controlPort: number;
}

/** A snapshot is at most 16 MiB, and comes in a message. */
const MAX_MESSAGE_BYTES = 17 * 1024 * 1024;

const OPTIONS: ChannelOptions = {
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.initial_reconnect_backoff_ms': 200,
  'grpc.max_reconnect_backoff_ms': 5_000,
  'grpc.dns_min_time_between_resolutions_ms': 2_000,
  'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
  'grpc.max_send_message_length': 1024 * 1024,
  // The environment's proxy is not ours to trust, and retries are the streams' own.
  'grpc.enable_http_proxy': 0,
  'grpc.enable_retries': 0,
  'grpc.service_config_disable_resolution': 1,
  'grpc.service_config': JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
  'grpc.use_local_subchannel_pool': 1,
};

/** `ca`: PEM bundle. The operator must be who `host` names. */
export function enrolmentClient({ host, enrolmentPort }: OperatorAddress, ca: string): Client {
  return new Client(target(host, enrolmentPort), credentials.createSsl(Buffer.from(ca)), OPTIONS);
}

export function controlClient(
  { host, controlPort }: OperatorAddress,
  { ca, key, chain }: { readonly ca: string; readonly key: string; readonly chain: string },
): Client {
  return new Client(target(host, controlPort), credentials.createSsl(Buffer.from(ca), Buffer.from(key), Buffer.from(chain)), OPTIONS);
}

function target(host: string, port: number): string {
  return `dns:${host.includes(':') ? `[${host}]` : host}:${port}`;
}
