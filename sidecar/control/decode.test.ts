import assert from 'node:assert/strict';
import { createHash, createPrivateKey, createPublicKey } from 'node:crypto';
import { test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';
import { TYPE_URL } from '#crds/control/names.ts';
import { EnrolResponseSchema } from '#crds/gen/chaperone/v1/enrolment_pb.js';
import { PolicySnapshotSchema } from '#crds/gen/chaperone/v1/snapshot_pb.js';
import { DiscoveryResponseSchema, ResourceSchema } from '#crds/gen/envoy/service/discovery/v3/discovery_pb.js';
import { keyOfRequest } from '#operator/pki/x509.ts';
import { RESOURCE_TYPE_URL, readAdsResponse } from './ads-read.ts';
import { createBackoff } from './backoff.ts';
import { identityOf } from './enrol.ts';
import { ControlError } from './errors.ts';
import { newChannelKey } from './keys.ts';

const NAME = 'shop/agent';
const JSON_BYTES = Buffer.from('{"schemaVersion":1}');
const VERSION = `sha256:${createHash('sha256').update(JSON_BYTES).digest('hex')}`;
/** A field that this side does not know: number 1000, a string. */
const UNKNOWN = Buffer.from([0xc2, 0x3e, 0x03, 0x6e, 0x65, 0x77]);

function message({
  newer = false,
  name = NAME,
  version = VERSION,
  json = JSON_BYTES,
}: {
  newer?: boolean;
  name?: string;
  version?: string;
  json?: Buffer;
}) {
  const also = newer ? [UNKNOWN] : [];
  const snapshot = toBinary(PolicySnapshotSchema, create(PolicySnapshotSchema, { name, version, canonicalJson: json }));
  const resource = { name, version, resource: create(AnySchema, { typeUrl: TYPE_URL, value: Buffer.concat([snapshot, ...also]) }) };
  const wrapped = toBinary(ResourceSchema, create(ResourceSchema, resource));
  const any = create(AnySchema, { typeUrl: RESOURCE_TYPE_URL, value: Buffer.concat([wrapped, ...also]) });
  const response = { versionInfo: version, typeUrl: TYPE_URL, nonce: 'n', resources: [any] };
  return Buffer.concat([toBinary(DiscoveryResponseSchema, create(DiscoveryResponseSchema, response)), ...also]);
}

const read = (bytes: Uint8Array) => readAdsResponse(fromBinary(DiscoveryResponseSchema, bytes), NAME);

test('what a newer operator adds to a message is left aside', () => {
  for (const newer of [false, true])
    assert.deepEqual(read(message({ newer })), {
      type: 'snapshot',
      version: VERSION,
      snapshot: { schemaVersion: 1 },
      revisions: new Map(),
    });
});

test('the snapshot of another name, another hash, or no JSON is malformed', () => {
  for (const bad of [{ name: 'shop/other' }, { version: `sha256:${'0'.repeat(64)}` }, { version: 'x' }, { json: Buffer.from([0xff]) }]) {
    assert.equal(read(message(bad)).type, 'malformed', JSON.stringify(bad));
  }
  const noJson = Buffer.from('{');
  const version = `sha256:${createHash('sha256').update(noJson).digest('hex')}`;
  assert.equal(read(message({ json: noJson, version })).type, 'malformed');
});

test('whatever bytes come, nothing but the very snapshot is taken', () => {
  const good = message({});
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 })), { minLength: 1, maxLength: 4 }), (flips) => {
      const bytes = Buffer.from(good);
      for (const [at, by] of flips) bytes[at] = (bytes[at] as number) ^ by;
      let result: ReturnType<typeof read>;
      try {
        result = read(bytes);
      } catch {
        // Not even a message: the stream ends with that.
        return;
      }
      if (result.type === 'snapshot')
        assert.deepEqual(result, { type: 'snapshot', version: VERSION, snapshot: { schemaVersion: 1 }, revisions: new Map() });
    }),
    { numRuns: 3000 },
  );
  const any = fc.record({ typeUrl: fc.constantFrom(RESOURCE_TYPE_URL, TYPE_URL, ''), value: fc.uint8Array({ maxLength: 64 }) });
  fc.assert(
    fc.property(fc.constantFrom(VERSION, '', 'x'), fc.array(any, { maxLength: 3 }), (versionInfo, resources) => {
      const response = create(DiscoveryResponseSchema, {
        versionInfo,
        typeUrl: TYPE_URL,
        resources: resources.map((one) => create(AnySchema, one)),
      });
      assert.notEqual(readAdsResponse(response, NAME).type, 'snapshot');
    }),
    { numRuns: 1000 },
  );
});

test('an answer to enrolment that does not hold together is refused', () => {
  const { key } = newChannelKey();
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.bigInt({ min: 0n, max: 2n ** 62n }), (certificateChain, namespace, renewAtSeconds) => {
      const response = create(EnrolResponseSchema, {
        certificateChain,
        recordingCertificateChain: certificateChain,
        namespace,
        renewAtSeconds,
      });
      assert.throws(() => identityOf(response, { key }), ControlError);
    }),
    { numRuns: 200 },
  );
});

test('the certificate request is one that the operator takes, and no bit of it can be changed', async () => {
  const { key, request } = newChannelKey();
  const spki = createPublicKey(createPrivateKey(key)).export({ type: 'spki', format: 'der' });
  assert.deepEqual(Buffer.from((await keyOfRequest(request)) ?? []), spki);
  for (let at = 0; at < request.length; at++) {
    const changed = Buffer.from(request);
    changed[at] = (changed[at] as number) ^ 1;
    const taken = await keyOfRequest(changed);
    // What is not covered by the signature (its own encoding) changes no key.
    assert.ok(taken === null || Buffer.from(taken).equals(spki), `byte ${at}`);
  }
});

test('back-off doubles up to its end, and is spread', () => {
  const backoff = createBackoff(100, 1000, () => 1);
  assert.deepEqual(
    [backoff.next(), backoff.next(), backoff.next(), backoff.next(), backoff.next(), backoff.next()],
    [100, 200, 400, 800, 1000, 1000],
  );
  backoff.reset();
  assert.equal(backoff.next(), 100);
  assert.equal(createBackoff(100, 1000, () => 0).next(), 50);
});
