/** A bucket on a real S3 server, an operator's part that gives slots in it, and sidecars' parts that record and upload. */
import assert from 'node:assert/strict';
import { createPublicKey, randomUUID } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, ListObjectVersionsCommand, PutBucketVersioningCommand, S3Client } from '@aws-sdk/client-s3';
import type { VerifyOptions } from '#cli/sessions/options.ts';
import { verify } from '#cli/sessions/testing.ts';
import { type S3, startS3 } from '#e2e/cluster/s3.ts';
import { Authority, type AuthorityState, newAuthorityState } from '#operator/pki/authority.ts';
import { type Countersigner, openCountersigner } from '#operator/records/countersigner.ts';
import { openRecords, type Records, type RecordsOptions, type RecordsPeer } from '#operator/records/records.ts';
import type { BucketSettings } from '#operator/records/settings.ts';
import { chainOf } from '#sidecar/record/certify.ts';
import { openKeys } from '#sidecar/record/keys.ts';
import { openRecordings, type RecordingOptions, type Recordings } from '#sidecar/record/store.ts';
import { type LogLine, listLog } from '#sidecar/record/testing.ts';
import { startUploader, type Uploader, type UploaderOptions, type UploadLimits } from '#sidecar/record/upload.ts';

export const CLUSTER = 'e2e';
const TRUST_DOMAIN = 'cluster.local';

export interface Bucket {
  readonly settings: BucketSettings;
  readonly url: string;
  readonly client: S3Client;
  readonly name: string;
}

export interface World {
  readonly s3: S3 & { readonly dir: string };
  readonly authority: Authority;
  /** PEM of the CA: what `verify --ca` takes. */
  readonly caFile: string;
  readonly client: S3Client;
  temporary(): string;
  /** PEM of a CA that has signed nothing here. */
  otherCa(): Promise<string>;
  /** Of a process that is sidecar and operator in one: a file with its settings. */
  childSettings(bucket: Bucket, dir: string, peer: RecordsPeer): string;
  bucket(options?: { readonly lock?: boolean; readonly versions?: boolean; readonly lockDays?: number }): Promise<Bucket>;
  operator(bucket: Bucket, options?: Partial<RecordsOptions>): Promise<Records>;
  close(): Promise<void>;
}

export async function startWorld(): Promise<World> {
  const top = mkdtempSync(join(tmpdir(), 'chaperone-e2e-records-'));
  const s3 = await startS3({ dir: join(top, 's3') });
  const credentialsDir = join(top, 'credentials');
  mkdirSync(credentialsDir);
  writeFileSync(join(credentialsDir, 'access-key-id'), `${s3.accessKeyId}\n`);
  writeFileSync(join(credentialsDir, 'secret-access-key'), `${s3.secretAccessKey}\n`);
  // The CLI takes what AWS's SDK finds.
  Object.assign(process.env, { AWS_ACCESS_KEY_ID: s3.accessKeyId, AWS_SECRET_ACCESS_KEY: s3.secretAccessKey });
  const authority = new Authority(await newAuthorityState(Date.now()));
  const caFile = join(top, 'ca.crt');
  writeFileSync(caFile, authority.bundle);
  const countersigner = await newCountersigner(authority);
  const credentials = { accessKeyId: s3.accessKeyId, secretAccessKey: s3.secretAccessKey };
  const client = new S3Client({ endpoint: s3.endpoint, region: s3.region, forcePathStyle: true, credentials });
  const opened: Records[] = [];
  return {
    s3: { ...s3, dir: join(top, 's3') },
    authority,
    caFile,
    client,
    temporary: () => mkdtempSync(join(top, 'state-')),
    async otherCa() {
      const file = join(top, 'other.crt');
      writeFileSync(file, new Authority(await newAuthorityState(Date.now())).bundle);
      return file;
    },
    childSettings(bucket, dir, peer) {
      const file = join(top, `${randomUUID()}.json`);
      const settings: ChildSettings = { bucket: bucket.settings, authority: authority.state, dir, peer };
      writeFileSync(file, JSON.stringify(settings), { mode: 0o600 });
      return file;
    },
    async bucket({ lock = false, versions = true, lockDays = 0 } = {}) {
      const name = `b-${randomUUID()}`;
      await client.send(new CreateBucketCommand({ Bucket: name, ObjectLockEnabledForBucket: lock }));
      if (versions && !lock)
        await client.send(new PutBucketVersioningCommand({ Bucket: name, VersioningConfiguration: { Status: 'Enabled' } }));
      const url = `s3://${name}/prod`;
      const base = { url, endpoint: s3.endpoint, region: s3.region, credentialsDir };
      return { name, url, client, settings: { ...base, objectLockDays: lockDays, objectLockMode: 'COMPLIANCE' } };
    },
    async operator(bucket, options = {}) {
      const records = newOperator(bucket.settings, countersigner, options);
      opened.push(records);
      await records.check();
      return records;
    },
    async close() {
      for (const records of opened) records.close();
      countersigner.close();
      client.destroy();
      await s3.stop();
      rmSync(top, { recursive: true, force: true });
    },
  };
}

function newCountersigner(authority: Authority): Promise<Countersigner> {
  return openCountersigner({
    authority,
    trustDomain: TRUST_DOMAIN,

    clock: Date.now,
    onError: (error) => assert.fail(String(error)),
  });
}

function newOperator(bucket: BucketSettings, countersigner: Countersigner, options: Partial<RecordsOptions>): Records {
  return openRecords({
    bucket,
    cluster: CLUSTER,
    namespaces: () => new Set(['shop', 'billing']),
    authority: countersigner.current,
    log: listLog([]),
    ...options,
  });
}

export function newPeer(): RecordsPeer {
  const podUid = randomUUID();
  return { namespace: 'ci', serviceAccount: 'runner', pod: `runner-${podUid.slice(0, 5)}`, podUid };
}

export interface Sidecar {
  readonly recordings: Recordings;
  readonly uploader: Uploader;
  readonly log: LogLine[];
}

export interface SidecarOptions {
  readonly dir: string;
  readonly peer: RecordsPeer;
  readonly slots: UploaderOptions['slots'];
  readonly countersign: UploaderOptions['countersign'];
  readonly limits?: Partial<UploadLimits>;
  readonly recording?: Partial<RecordingOptions>;
}

/** What a sidecar does in cluster mode about recordings. */
export async function startSidecar(authority: Authority, options: SidecarOptions): Promise<Sidecar> {
  const { dir, peer, slots, countersign } = options;
  const log: LogLine[] = [];
  const certificates = await certify(authority, dir, peer);
  const later: { uploader?: Uploader } = {};
  const recordings = await openRecordings({
    dir,
    clock: Date.now,
    log: listLog(log),
    cluster: CLUSTER,
    certificates,
    isFull: () => later.uploader?.isFull() ?? false,
    limits: { segmentAgeMs: 400 },
    ...options.recording,
  });
  const limits = { everyMs: 50, ledgerEveryMs: 300, maxPauseMs: 1000, ...options.limits };
  const { recorder } = recordings;
  const uploader = startUploader({ dir, recorder, slots, countersign, log: listLog(log), clock: Date.now, limits });
  later.uploader = uploader;
  return { recordings, uploader, log };
}

/** As the operator does it at enrolment. */
async function certify(authority: Authority, dir: string, { namespace, serviceAccount, podUid }: RecordsPeer): Promise<readonly string[]> {
  const keys = openKeys(join(dir, 'keys'));
  const publicKey = createPublicKey(readFileSync(keys.publicKeyFile)).export({ type: 'spki', format: 'der' });
  const chain = await authority.recording({ trustDomain: TRUST_DOMAIN, namespace, serviceAccount, podUid }, publicKey, Date.now());
  return chainOf(chain);
}

export function of(records: Records, peer: RecordsPeer): Pick<UploaderOptions, 'slots' | 'countersign'> {
  return { slots: (request) => records.slots(peer, request), countersign: (request) => records.countersign(peer, request) };
}

export function verifyBucket(world: World, bucket: Bucket, options: Partial<VerifyOptions> = {}) {
  const source = { url: bucket.url, endpoint: world.s3.endpoint };
  return verify('', { bucket: source, authorities: [world.caFile], ...options });
}

/** Keys below the prefix, each as often as it has versions. */
export async function keysOf(bucket: Bucket): Promise<readonly string[]> {
  const { Versions = [] } = await bucket.client.send(new ListObjectVersionsCommand({ Bucket: bucket.name, Prefix: 'prod/' }));
  return Versions.map((version) => (version.Key ?? '').slice('prod/'.length));
}

/** What is left of a pod's volume at a moment, for another process to go on with. */
export function copyOfState(world: World, dir: string): string {
  const copy = world.temporary();
  cpSync(dir, copy, { recursive: true });
  return copy;
}

export async function until(what: string, check: () => boolean | Promise<boolean>, timeoutMs = 60_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error(`${what} did not come within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** What another process needs to be a sidecar and an operator of this world. Written to a file: it holds keys. */
export interface ChildSettings {
  readonly bucket: BucketSettings;
  readonly authority: AuthorityState;
  readonly dir: string;
  readonly peer: RecordsPeer;
}

export async function childWorld(settings: ChildSettings): Promise<Sidecar> {
  const authority = new Authority(settings.authority);
  const operator = newOperator(settings.bucket, await newCountersigner(authority), {});
  await operator.check();
  const { dir, peer } = settings;
  return startSidecar(authority, { dir, peer, ...of(operator, peer) });
}
