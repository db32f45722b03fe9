import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { binary } from './binaries.ts';
import { type Program, start, stop } from './processes.ts';
import { freePort, waitFor } from './ready.ts';

export interface S3 {
  readonly endpoint: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export interface S3Options {
  /** Holds the objects and their versions; its file system needs extended attributes. */
  readonly dir: string;
  /** 127.0.0.1 where nothing is said. */
  readonly host?: string;
  /** `us` where nothing is said: it dies with this process. */
  readonly until?: Program['until'];
}

/** A real S3 server with versions and Object Lock, with one account whose keys are made now. Also works with no cluster. */
export async function startS3({ dir, host = '127.0.0.1', until = 'us' }: S3Options): Promise<S3 & { stop(): Promise<void> }> {
  const [data, versions] = [join(dir, 's3/data'), join(dir, 's3/versions')];
  for (const folder of [data, versions]) await mkdir(folder, { recursive: true, mode: 0o700 });
  const [accessKeyId, secretAccessKey] = [`E2E${randomBytes(8).toString('hex')}`, randomBytes(24).toString('hex')];
  const port = await freePort(host);
  const args = ['--port', `${host}:${port}`, '--region', 'us-east-1', '--quiet', 'posix', '--versioning-dir', versions, data];
  const environment = { ROOT_ACCESS_KEY: accessKeyId, ROOT_SECRET_KEY: secretAccessKey };
  await start({ name: 's3', command: await binary('versitygw'), args, dir, until, environment });
  const endpoint = `http://${host}:${port}`;
  await waitFor('the S3 server', async () => (await fetch(endpoint)).status > 0 || undefined, 15_000);
  return { endpoint, region: 'us-east-1', accessKeyId, secretAccessKey, stop: () => stop(dir, 's3') };
}
