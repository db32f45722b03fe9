/** Reads a response of ADS. What comes from the operator is checked like anything that comes from outside. */
import { createHash } from 'node:crypto';
import { fromBinary } from '@bufbuild/protobuf';
import { TYPE_URL } from '#crds/control/names.ts';
import { parseRevisions, type Revisions } from '#crds/control/revisions.ts';
import { PolicySnapshotSchema } from '#crds/gen/chaperone/v1/snapshot_pb.js';
import { type DiscoveryResponse, ResourceSchema } from '#crds/gen/envoy/service/discovery/v3/discovery_pb.js';

export const RESOURCE_TYPE_URL = 'type.googleapis.com/envoy.service.discovery.v3.Resource';

export type AdsResponse =
  | { readonly type: 'snapshot'; readonly version: string; readonly snapshot: unknown; readonly revisions: Revisions }
  /** What we have is still what holds. */
  | { readonly type: 'heartbeat'; readonly version: string; readonly revisions: Revisions }
  | { readonly type: 'malformed'; readonly problem: string };

const VERSION = /^sha256:[0-9a-f]{64}$/;
const MAX_SNAPSHOT_BYTES = 16 * 1024 * 1024;

/** `name`: the only resource that we take. Never throws. */
export function readAdsResponse(response: DiscoveryResponse, name: string): AdsResponse {
  try {
    return read(response, name);
  } catch {
    return malformed('the response can not be read');
  }
}

function read({ typeUrl, versionInfo: version, resources, controlPlane }: DiscoveryResponse, name: string): AdsResponse {
  const [any] = resources;
  const revisions = parseRevisions(controlPlane?.identifier ?? '');
  if (typeUrl !== TYPE_URL) return malformed('the type is not one that was asked for');
  if (!VERSION.test(version)) return malformed('the version is not a hash');
  if (any === undefined || resources.length > 1 || any.typeUrl !== RESOURCE_TYPE_URL) return malformed('there must be one resource');
  const resource = fromBinary(ResourceSchema, any.value);
  if (resource.name !== name || resource.version !== version) return malformed('the resource is not the one that was asked for');
  if (resource.resource === undefined) return { type: 'heartbeat', version, revisions };
  if (resource.resource.typeUrl !== TYPE_URL) return malformed('the resource is no snapshot');
  const { name: named, version: stated, canonicalJson } = fromBinary(PolicySnapshotSchema, resource.resource.value);
  if (named !== name || stated !== version) return malformed('the snapshot is not the one that was asked for');
  if (canonicalJson.length > MAX_SNAPSHOT_BYTES) return malformed('the snapshot is larger than 16 MiB');
  if (`sha256:${createHash('sha256').update(canonicalJson).digest('hex')}` !== version)
    return malformed('the hash is not that of the snapshot');
  const snapshot: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(canonicalJson));
  return { type: 'snapshot', version, snapshot, revisions };
}

const malformed = (problem: string): AdsResponse => ({ type: 'malformed', problem });
