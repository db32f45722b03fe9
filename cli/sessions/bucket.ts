import type { ListObjectVersionsCommandOutput, ObjectVersion, S3Client } from '@aws-sdk/client-s3';
import { parseBucketUrl } from '#crds/record/bucket-url.ts';
import type { Finding } from '#crds/record/finding.ts';
import type { StoredBytes } from '#crds/record/verify-segment.ts';
import { type StoredPath, type StoredRecordings, sortOut } from './stored.ts';

export interface BucketSource {
  /** `s3://BUCKET/PREFIX` */
  readonly url: string;
  /** Of an S3-compatible server; AWS where absent. */
  readonly endpoint?: string;
  readonly region?: string;
}

const DEFAULT_REGION = 'us-east-1';

/**
 * Reads a bucket as a folder is read. Of each object the first version counts: what was stored there when the operator allowed it just once.
 * Credentials are those that AWS's SDK finds. Rejects where the bucket can't be listed.
 */
export async function openBucket(source: BucketSource): Promise<StoredRecordings> {
  const { bucket, prefix } = parseBucketUrl(source.url);
  const client = await clientOf(source);
  const findings: Finding[] = [];
  const paths: StoredPath[] = [];
  for (const [key, object] of await firstVersions(client, bucket, prefix)) {
    const file = key.slice(prefix.length);
    const at = { severity: 'error', file } as const;
    if (object.versions > 1)
      findings.push({ code: 'ObjectOverwritten', message: `the object has ${object.versions} versions: the first is what counts`, ...at });
    if (object.deleted)
      findings.push({ code: 'ObjectDeleted', message: 'the object was deleted; its first version is still there', ...at });
    if (object.first === null) continue;
    const { VersionId, Size } = object.first;
    paths.push({ file, plain: true, read: (maxBytes) => read(client, { bucket, key, version: VersionId, size: Size ?? 0 }, maxBytes) });
  }
  paths.sort((a, b) => (a.file < b.file ? -1 : 1));
  return sortOut(source.url, paths, findings);
}

async function clientOf({ endpoint, region }: BucketSource): Promise<S3Client> {
  // Loaded where it is wanted: it is half of the CLI.
  const { S3Client } = await import('./s3.ts');
  return new S3Client({
    region: region ?? DEFAULT_REGION,
    ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }),
    maxAttempts: 5,
  });
}

interface Versions {
  first: ObjectVersion | null;
  versions: number;
  deleted: boolean;
}

async function firstVersions(client: S3Client, bucket: string, prefix: string): Promise<ReadonlyMap<string, Versions>> {
  const { ListObjectVersionsCommand } = await import('./s3.ts');
  const objects = new Map<string, Versions>();
  const at = (key: string): Versions => {
    const known = objects.get(key) ?? { first: null, versions: 0, deleted: false };
    objects.set(key, known);
    return known;
  };
  let markers: { readonly KeyMarker?: string; readonly VersionIdMarker?: string } | null = {};
  while (markers !== null) {
    const page: ListObjectVersionsCommandOutput = await client.send(
      new ListObjectVersionsCommand({ Bucket: bucket, Prefix: prefix, ...markers }),
    );
    for (const version of page.Versions ?? []) {
      const object = at(version.Key ?? '');
      object.versions += 1;
      // Of one key the newest is listed first.
      object.first = version;
    }
    for (const marker of page.DeleteMarkers ?? []) at(marker.Key ?? '').deleted = true;
    const { NextKeyMarker, NextVersionIdMarker } = page;
    markers =
      page.IsTruncated !== true || NextKeyMarker === undefined
        ? null
        : { KeyMarker: NextKeyMarker, ...(NextVersionIdMarker === undefined ? {} : { VersionIdMarker: NextVersionIdMarker }) };
  }
  return objects;
}

interface Wanted {
  readonly bucket: string;
  readonly key: string;
  readonly version: string | undefined;
  readonly size: number;
}

async function read(client: S3Client, { bucket, key, version, size }: Wanted, maxBytes: number): Promise<StoredBytes> {
  if (size > maxBytes) return 'TooLarge';
  const { GetObjectCommand } = await import('./s3.ts');
  try {
    // A bucket without versions calls its only one `null`, and not every server takes that name.
    const VersionId = version === undefined || version === 'null' ? undefined : version;
    const got = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key, ...(VersionId === undefined ? {} : { VersionId }) }));
    return (await got.Body?.transformToByteArray()) ?? 'Unreadable';
  } catch {
    return 'Unreadable';
  }
}
