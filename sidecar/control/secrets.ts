/** Target credentials from the operator, in memory only. */
import type { ClientReadableStream } from '@grpc/grpc-js';
import { type SecretsUpdate, Sidecar } from '#crds/gen/chaperone/v1/sidecar_pb.js';
import { openStream } from './rpc.ts';
import { type KeptStream, keepStream } from './stream.ts';

/** `namespace/name` to its keys. */
export type Secrets = ReadonlyMap<string, ReadonlyMap<string, Buffer>>;

export function createSecretsStream(version: () => string, onSecrets: (secrets: Secrets) => void): KeptStream {
  return keepStream<SecretsUpdate, ClientReadableStream<SecretsUpdate>>({
    open: (client) => openStream(client, Sidecar.method.watchSecrets, { snapshotVersion: version() }),
    onMessage: (update) => onSecrets(secretsOf(update)),
  });
}

function secretsOf({ secrets }: SecretsUpdate): Secrets {
  return new Map(
    secrets.map(({ namespace, name, data }) => [
      `${namespace}/${name}`,
      new Map(Object.entries(data).map(([key, value]) => [key, Buffer.from(value)])),
    ]),
  );
}
