/**
 * The responses that ADS sends. One Buffer for each version (and how far this replica had come), shared by all streams: the nonce is made of the
 * version, since a stream has only one response open.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { TYPE_URL } from '#crds/control/names.ts';
import { PolicySnapshotSchema } from '#crds/gen/chaperone/v1/snapshot_pb.js';
import { DiscoveryResponseSchema, type Resource, ResourceSchema } from '#crds/gen/envoy/service/discovery/v3/discovery_pb.js';
import type { CurrentSnapshot } from './sources.ts';

const RESOURCE_TYPE_URL = 'type.googleapis.com/envoy.service.discovery.v3.Resource';

export interface Response {
  readonly version: string;
  readonly nonce: string;
  readonly bytes: Buffer;
}

interface Known {
  readonly revisions: string;
  readonly response: Response;
}

const snapshots = new WeakMap<CurrentSnapshot, Known>();
const heartbeats = new WeakMap<CurrentSnapshot, Known>();

/** The resource `NAMESPACE/SERVICEACCOUNT` with its snapshot. `revisions`: what this replica knew when `current` was asked for. */
export function snapshotResponse(name: string, current: CurrentSnapshot, revisions: string): Response {
  return remembered(snapshots, current, revisions, () => {
    const { version, json } = current;
    const value = toBinary(PolicySnapshotSchema, create(PolicySnapshotSchema, { name, version, canonicalJson: json }));
    const resource = create(ResourceSchema, { name, version, resource: create(AnySchema, { typeUrl: TYPE_URL, value }) });
    return response(version, version, resource, revisions);
  });
}

/** The same without the snapshot: what the sidecar has is still what holds (xDS: a heartbeat of a resource with a TTL). */
export function heartbeatResponse(name: string, current: CurrentSnapshot, revisions: string): Response {
  const { version } = current;
  return remembered(heartbeats, current, revisions, () =>
    response(version, `heartbeat ${version}`, create(ResourceSchema, { name, version }), revisions),
  );
}

function remembered(known: WeakMap<CurrentSnapshot, Known>, current: CurrentSnapshot, revisions: string, make: () => Response): Response {
  const found = known.get(current);
  if (found?.revisions === revisions) return found.response;
  const made = make();
  known.set(current, { revisions, response: made });
  return made;
}

function response(version: string, nonce: string, resource: Resource, revisions: string): Response {
  const any = create(AnySchema, { typeUrl: RESOURCE_TYPE_URL, value: toBinary(ResourceSchema, resource) });
  const controlPlane = { identifier: revisions };
  const message = create(DiscoveryResponseSchema, { versionInfo: version, typeUrl: TYPE_URL, nonce, resources: [any], controlPlane });
  return { version, nonce, bytes: Buffer.from(toBinary(DiscoveryResponseSchema, message)) };
}
