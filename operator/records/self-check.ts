import { GetBucketVersioningCommand, GetObjectLockConfigurationCommand } from '@aws-sdk/client-s3';
import { SELF_CHECK_FILE } from '#crds/record/format.ts';
import { type Bucket, problemOf, statusOf } from './bucket.ts';

export const BUCKET_PROBLEMS = [
  'NotChecked',
  'Unreachable',
  'AccessDenied',
  'VersioningOff',
  'ObjectLockOff',
  'CreateOnlyIgnored',
] as const;
export type BucketProblem = (typeof BUCKET_PROBLEMS)[number];

export type BucketCheck = { readonly ready: true } | { readonly ready: false; readonly reason: BucketProblem; readonly message: string };

/**
 * A bucket is good for recordings where each object can be stored just once, and what its owner overwrites stays as a version. Never rejects.
 * Writes one small object, once, that no lock is asked for.
 */
export async function checkBucket(bucket: Bucket, objectLockDays: number): Promise<BucketCheck> {
  try {
    return (await versioning(bucket)) ?? (await objectLock(bucket, objectLockDays)) ?? (await createOnly(bucket)) ?? { ready: true };
  } catch (error: unknown) {
    const status = statusOf(error);
    if (status === 403 || status === 401) return bad('AccessDenied', `the bucket refuses the operator: ${problemOf(error)}`);
    return bad('Unreachable', `the bucket does not answer as one: ${problemOf(error)}`);
  }
}

async function versioning({ place }: Bucket): Promise<BucketCheck | null> {
  const { Status } = await place.client.send(new GetBucketVersioningCommand({ Bucket: place.bucket }));
  if (Status === 'Enabled') return null;
  return bad('VersioningOff', 'turn versioning on: without it, who overwrites a recording leaves nothing of it');
}

async function objectLock({ place }: Bucket, days: number): Promise<BucketCheck | null> {
  if (days === 0) return null;
  const off = bad('ObjectLockOff', 'recordings are to be locked, and the bucket has no Object Lock: it has to be made with it');
  try {
    const { ObjectLockConfiguration } = await place.client.send(new GetObjectLockConfigurationCommand({ Bucket: place.bucket }));
    return ObjectLockConfiguration?.ObjectLockEnabled === 'Enabled' ? null : off;
  } catch (error: unknown) {
    if (statusOf(error) === 404) return off;
    throw error;
  }
}

async function createOnly(bucket: Bucket): Promise<BucketCheck | null> {
  const bytes = Buffer.from('Stored twice, this would show that the bucket ignores If-None-Match.\n');
  await bucket.putOnce(SELF_CHECK_FILE, bytes, { lock: false });
  if (!(await bucket.putOnce(SELF_CHECK_FILE, bytes, { lock: false }))) return null;
  return bad(
    'CreateOnlyIgnored',
    'the bucket stored an object twice although If-None-Match forbade it: a pod could overwrite its recordings',
  );
}

function bad(reason: BucketProblem, message: string): BucketCheck {
  return { ready: false, reason, message };
}
