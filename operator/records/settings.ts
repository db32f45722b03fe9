import { readFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { join } from 'node:path';
import { S3Client } from '@aws-sdk/client-s3';
import { parseBucketUrl } from '#crds/record/bucket-url.ts';

/** Where recordings go. From the operator's flags. */
export interface BucketSettings {
  /** `s3://BUCKET/PREFIX` */
  readonly url: string;
  /** Of an S3-compatible server; AWS where absent. */
  readonly endpoint?: string;
  readonly region?: string;
  /** A mounted Secret: `access-key-id`, `secret-access-key` and, where there is one, `session-token`. Where absent, what the AWS SDK finds (a role). */
  readonly credentialsDir?: string;
  /** PEM of the authority of the endpoint's certificate. */
  readonly caFile?: string;
  /** Each object is kept so long; 0 does not lock. */
  readonly objectLockDays: number;
  readonly objectLockMode: ObjectLockMode;
}

/** `COMPLIANCE`: nobody shortens it. `GOVERNANCE`: who has a right of its own may. */
export type ObjectLockMode = 'COMPLIANCE' | 'GOVERNANCE';

/** What verifies the endpoint, to be handed on; empty where the public authorities do. Throws where it can't be read. */
export function authorityOf({ caFile }: Pick<BucketSettings, 'caFile'>): string {
  return caFile === undefined ? '' : readFileSync(caFile, 'utf8');
}

export interface Place {
  readonly client: S3Client;
  readonly bucket: string;
  readonly prefix: string;
}

const DEFAULT_REGION = 'us-east-1';
/** A rotated Secret is in use after this long. */
const CREDENTIALS_MS = 60_000;
const CONNECT_MS = 3000;
const REQUEST_MS = 10_000;

/** Throws where the settings can't be used. */
export function openPlace(settings: BucketSettings): Place {
  const { bucket, prefix } = parseBucketUrl(settings.url);
  const { endpoint, credentialsDir, caFile } = settings;
  const ca = authorityOf(settings);
  const client = new S3Client({
    region: settings.region ?? DEFAULT_REGION,
    ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }),
    ...(credentialsDir === undefined ? {} : { credentials: async () => readCredentials(credentialsDir) }),
    // Else a presigned PUT is signed with a checksum of an empty body.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    maxAttempts: 3,
    requestHandler: {
      connectionTimeout: CONNECT_MS,
      requestTimeout: REQUEST_MS,
      throwOnRequestTimeout: true,
      ...(caFile === undefined ? {} : { httpsAgent: new Agent({ keepAlive: true, ca }) }),
    },
  });
  return { client, bucket, prefix };
}

function readCredentials(dir: string) {
  const read = (name: string) => readFileSync(join(dir, name), 'utf8').trim();
  return {
    accessKeyId: read('access-key-id'),
    secretAccessKey: read('secret-access-key'),
    ...optional(() => ({ sessionToken: read('session-token') })),
    expiration: new Date(Date.now() + CREDENTIALS_MS),
  };
}

function optional<T extends object>(read: () => T): Partial<T> {
  try {
    return read();
  } catch {
    return {};
  }
}
