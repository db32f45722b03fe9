/** The responses that ADS sends. One Buffer for each version, shared by all streams: the nonce is made of the version, since a stream has only one response open. */
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

const snapshots = new WeakMap<CurrentSnapshot, Response>();
const heartbeats = new WeakMap<CurrentSnapshot, Response>();

/** The resource `NAMESPACE/SERVICEACCOUNT` with its snapshot. */
export function snapshotResponse(name: string, current: CurrentSnapshot): Response {
  return remembered(snapshots, current, () => {
    const { version, json } = current;
    const value = toBinary(PolicySnapshotSchema, create(PolicySnapshotSchema, { name, version, canonicalJson: json }));
    return response(version, version, create(ResourceSchema, { name, version, resource: create(AnySchema, { typeUrl: TYPE_URL, value }) }));
  });
}

/** The same without the snapshot: what the sidecar has is still what holds (xDS: a heartbeat of a resource with a TTL). */
export function heartbeatResponse(name: string, current: CurrentSnapshot): Response {
  const { version } = current;
  return remembered(heartbeats, current, () => response(version, `heartbeat ${version}`, create(ResourceSchema, { name, version })));
}

function remembered(known: WeakMap<CurrentSnapshot, Response>, current: CurrentSnapshot, make: () => Response): Response {
  const found = known.get(current);
  if (found !== undefined) return found;
  const made = make();
  known.set(current, made);
  return made;
}

function response(version: string, nonce: string, resource: Resource): Response {
  const any = create(AnySchema, { typeUrl: RESOURCE_TYPE_URL, value: toBinary(ResourceSchema, resource) });
  const message = create(DiscoveryResponseSchema, { versionInfo: version, typeUrl: TYPE_URL, nonce, resources: [any] });
  return { version, nonce, bytes: Buffer.from(toBinary(DiscoveryResponseSchema, message)) };
}
