/** The client of ADS: one resource, state of the world. What is accepted is acknowledged, what is refused is refused with the reasons. */

import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Client, ClientDuplexStream } from '@grpc/grpc-js';
import { TYPE_URL } from '#crds/control/names.ts';
import { goneBack, type Revisions } from '#crds/control/revisions.ts';
import { AggregatedDiscoveryService } from '#crds/gen/envoy/service/discovery/v3/ads_pb.js';
import type { DiscoveryRequestSchema, DiscoveryResponse } from '#crds/gen/envoy/service/discovery/v3/discovery_pb.js';
import type { Log } from '../pipeline.ts';
import { readAdsResponse } from './ads-read.ts';
import type { ControlError } from './errors.ts';
import { openDuplex } from './rpc.ts';
import { type KeptStream, keepStream } from './stream.ts';

type AdsCall = ClientDuplexStream<MessageInitShape<typeof DiscoveryRequestSchema>, DiscoveryResponse>;

/** What takes snapshots: the sidecar. */
export interface SnapshotTarget {
  /** Version of the snapshot in force; `none` before the first. */
  readonly version: string;
  /** A refused one changes nothing. Rejects where it is in force but something else failed (a listener). */
  publish(
    snapshot: unknown,
  ): Promise<{ readonly ok: true } | { readonly ok: false; readonly code: string; readonly problems: readonly string[] }>;
  /** The operator says that this version still holds. False where it is not the one in force. */
  confirm(version: string): boolean;
}

export interface AdsOptions {
  /** `NAMESPACE/SERVICEACCOUNT`. */
  readonly name: string;
  readonly sidecarVersion: string;
  readonly target: SnapshotTarget;
  readonly log: Log;
  readonly onEnd: (error: ControlError | null) => void;
}

const MAX_PROBLEMS = 5;
const MAX_PROBLEM_CHARS = 500;
const FAILED_PRECONDITION = 9;

export function createAds(options: AdsOptions): KeptStream {
  const { name, target, log } = options;
  const node = {
    id: name,
    userAgentName: 'chaperone-sidecar',
    userAgentVersionType: { case: 'userAgentVersion', value: options.sidecarVersion },
  } as const;
  const inForce = () => (target.version === 'none' ? '' : target.version);
  let last: Promise<unknown> = Promise.resolve();
  /** How far the operator had come that was last believed. */
  let seen: Revisions = new Map();

  const answer = async (response: DiscoveryResponse, call: AdsCall): Promise<void> => {
    const read = readAdsResponse(response, name);
    const behind = read.type === 'malformed' ? [] : goneBack(seen, read.revisions);
    if (behind.length > 0) {
      log.error({ kinds: behind }, 'this replica of the operator knows less than another did: its policy is not taken');
      // No answer: there is nothing wrong with the policy. The next stream is another replica's, or this one's when it has caught up.
      return call.cancel();
    }
    const problems = await take(target, read, log);
    if (problems.length === 0 && read.type !== 'malformed') seen = new Map([...seen, ...read.revisions]);
    const errorDetail = problems.length === 0 ? {} : { errorDetail: { code: FAILED_PRECONDITION, message: problems.join('\n') } };
    call.write({ typeUrl: TYPE_URL, resourceNames: [name], versionInfo: inForce(), responseNonce: response.nonce, ...errorDetail });
  };
  return keepStream<DiscoveryResponse, AdsCall>({
    open(client: Client) {
      const call = openDuplex(client, AggregatedDiscoveryService.method.streamAggregatedResources);
      call.write({ node, typeUrl: TYPE_URL, resourceNames: [name], versionInfo: inForce() });
      return call;
    },
    onMessage(response, call) {
      // One after the other, and the answers in that order.
      last = last.then(() => answer(response, call)).catch(() => {});
    },
    onEnd: options.onEnd,
  });
}

/** The problems of what was refused; none where it was taken. */
async function take(target: SnapshotTarget, response: ReturnType<typeof readAdsResponse>, log: Log): Promise<string[]> {
  switch (response.type) {
    case 'malformed':
      log.error({ problem: response.problem }, 'the operator sent something that is no snapshot: the last good one stays');
      return [`Malformed: ${response.problem}`];
    case 'heartbeat':
      return target.confirm(response.version) ? [] : ['NotInForce: another snapshot is in force here'];
    case 'snapshot':
      try {
        const result = await target.publish(response.snapshot);
        if (result.ok) return [];
        return [result.code, ...result.problems.slice(0, MAX_PROBLEMS)].map((problem) =>
          problem.replace(/\s+/g, ' ').slice(0, MAX_PROBLEM_CHARS),
        );
      } catch (error: unknown) {
        // The policy is in force; the listener is this pod's own trouble.
        log.error({ error: error instanceof Error ? error.message : 'unknown' }, 'a listener could not be opened');
        return target.version === response.version ? [] : ['InternalError: the snapshot was not taken'];
      }
    default:
      return response satisfies never;
  }
}
