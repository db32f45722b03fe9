import { createHash } from 'node:crypto';
import {
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutObjectCommand,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { type BucketSettings, openPlace, type Place } from './settings.ts';

const DAY_MS = 24 * 60 * 60_000;
/** Long enough for a large segment on a slow link; a slot that leaks is worth nothing afterwards, and one object before. */
const SLOT_SECONDS = 120;

export interface Slot {
  readonly url: string;
  /** To be sent just so: all are signed. */
  readonly headers: { readonly [name: string]: string };
  readonly expiresAtSeconds: number;
}

/** The bucket as the operator uses it: everything is stored once, and never again. Paths are below the prefix. */
export class Bucket {
  readonly place: Place;
  readonly #settings: BucketSettings;
  readonly #clock: () => number;

  constructor(settings: BucketSettings, clock: () => number) {
    this.place = openPlace(settings);
    this.#settings = settings;
    this.#clock = clock;
  }

  /** A place for just these bytes: another length or hash, a second object of this name, or another name is refused by the bucket. */
  async slot(path: string, sha256: Uint8Array, sizeBytes: number): Promise<Slot> {
    const lock = this.#lock();
    const headers = {
      'content-length': String(sizeBytes),
      'if-none-match': '*',
      'x-amz-checksum-sha256': Buffer.from(sha256).toString('base64'),
      ...(lock === null
        ? {}
        : {
            'x-amz-object-lock-mode': lock.ObjectLockMode,
            'x-amz-object-lock-retain-until-date': lock.ObjectLockRetainUntilDate.toISOString().replace('.000Z', 'Z'),
          }),
    };
    const command = new PutObjectCommand({
      ...this.#at(path),
      ContentLength: sizeBytes,
      IfNoneMatch: '*',
      ChecksumSHA256: headers['x-amz-checksum-sha256'],
      ...lock,
    });
    const names = new Set(Object.keys(headers));
    const signingDate = new Date(this.#clock());
    const signed = { expiresIn: SLOT_SECONDS, signingDate, unhoistableHeaders: names, signableHeaders: new Set([...names, 'host']) };
    const url = await getSignedUrl(this.place.client, command, signed);
    return { url, headers, expiresAtSeconds: Math.floor(this.#clock() / 1000) + SLOT_SECONDS };
  }

  /** False where there is an object of this name. */
  async putOnce(path: string, bytes: Uint8Array, options: { readonly lock: boolean } = { lock: true }): Promise<boolean> {
    const ChecksumSHA256 = createHash('sha256').update(bytes).digest('base64');
    const lock = options.lock ? this.#lock() : null;
    try {
      await this.place.client.send(new PutObjectCommand({ ...this.#at(path), Body: bytes, IfNoneMatch: '*', ChecksumSHA256, ...lock }));
      return true;
    } catch (error: unknown) {
      if (statusOf(error) === 412) return false;
      throw error;
    }
  }

  /** Of the object's first version: SHA-256 as base64, and length. Null where there is none. */
  async storedAs(path: string): Promise<{ readonly sha256: string; readonly sizeBytes: number } | null> {
    const first = await this.#firstVersion(path);
    if (first === null) return null;
    const head = await this.place.client.send(new HeadObjectCommand({ ...this.#at(path), ...first, ChecksumMode: 'ENABLED' }));
    const sizeBytes = head.ContentLength ?? 0;
    if (head.ChecksumSHA256 !== undefined && head.ChecksumType !== 'COMPOSITE') return { sha256: head.ChecksumSHA256, sizeBytes };
    const bytes = await this.#read(path, first);
    return { sha256: createHash('sha256').update(bytes).digest('base64'), sizeBytes: bytes.length };
  }

  /** The object's first version, or null. */
  async read(path: string): Promise<Uint8Array | null> {
    const first = await this.#firstVersion(path);
    return first === null ? null : this.#read(path, first);
  }

  /** Names of objects, sorted, that come after `after`; at most `most`. */
  async listAfter(prefix: string, after: string, most: number): Promise<readonly string[]> {
    const { bucket, prefix: top } = this.place;
    const listed = await this.place.client.send(
      new ListObjectsV2Command({ Bucket: bucket, Prefix: top + prefix, StartAfter: top + after, MaxKeys: most }),
    );
    return (listed.Contents ?? []).map((object) => (object.Key ?? '').slice(top.length));
  }

  close(): void {
    this.place.client.destroy();
  }

  async #firstVersion(path: string): Promise<{ readonly VersionId?: string } | null> {
    const { Bucket, Key } = this.#at(path);
    const listed = await this.place.client.send(new ListObjectVersionsCommand({ Bucket, Prefix: Key }));
    const versions = (listed.Versions ?? []).filter((version) => version.Key === Key);
    // The newest is listed first.
    const id = versions.at(-1)?.VersionId;
    if (versions.length === 0) return null;
    return id === undefined || id === 'null' ? {} : { VersionId: id };
  }

  async #read(path: string, version: { readonly VersionId?: string }): Promise<Uint8Array> {
    const got = await this.place.client.send(new GetObjectCommand({ ...this.#at(path), ...version }));
    if (got.Body === undefined) throw new Error('the bucket answered without a body');
    return got.Body.transformToByteArray();
  }

  #at(path: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.place.bucket, Key: this.place.prefix + path };
  }

  #lock() {
    const { objectLockDays, objectLockMode } = this.#settings;
    if (objectLockDays === 0) return null;
    const untilMs = Math.ceil((this.#clock() + objectLockDays * DAY_MS) / 1000) * 1000;
    return { ObjectLockMode: objectLockMode, ObjectLockRetainUntilDate: new Date(untilMs) };
  }
}

export function statusOf(error: unknown): number | undefined {
  return error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined;
}

/** What went wrong, for logs and conditions: S3's code or the system's, never a URL or a header. */
export function problemOf(error: unknown): string {
  if (error instanceof S3ServiceException) return `${error.name} (HTTP ${statusOf(error) ?? '?'})`;
  const code: unknown = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  if (typeof code === 'string') return code;
  return error instanceof Error ? error.name : 'unknown error';
}
