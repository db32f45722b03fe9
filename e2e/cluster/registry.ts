/** A registry to pull from, and what pushes our images to one: the registries' own HTTP interface, with no daemon. */
import { execFile } from 'node:child_process';
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Built, nameIn } from './images.ts';
import { hashOf } from './layers.ts';
import { start, stop } from './processes.ts';
import { freePort, waitFor } from './ready.ts';

const OCI = 'application/vnd.oci.image';

/** Debian's docker-registry, with nothing in it. It dies with this process. */
export async function startRegistry(dir: string, host: string): Promise<{ readonly address: string; stop(): Promise<void> }> {
  if (!existsSync('/usr/bin/docker-registry')) throw new Error('missing: apt-get install --no-install-recommends docker-registry');
  const folder = join(dir, 'registry');
  await mkdir(folder, { recursive: true });
  const address = `${host}:${await freePort(host)}`;
  const config = { version: 0.1, log: { level: 'warn' }, storage: { filesystem: { rootdirectory: folder } }, http: { addr: address } };
  await writeFile(join(dir, 'registry.json'), JSON.stringify(config));
  await start({ name: 'registry', command: 'docker-registry', args: ['serve', join(dir, 'registry.json')], dir, until: 'us' });
  await waitFor('the registry', async () => (await fetch(`http://${address}/v2/`)).ok || undefined, 15_000);
  return {
    address,
    async stop() {
      await stop(dir, 'registry');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Pushes to `HOST/PATH`, by HTTP where the host is an address or localhost, else by HTTPS. Who must log in there uses their own tools. */
export async function push(registry: string, { name, tar }: Built): Promise<string> {
  const [, repository = '', tag = ''] = /^(.+):([^:/]+)$/.exec(nameIn(registry, name)) ?? [];
  const host = repository.slice(0, repository.indexOf('/'));
  const bare = host.replace(/:\d+$/, '');
  const api = `${bare === 'localhost' || isIP(bare) > 0 ? 'http' : 'https'}://${host}/v2${repository.slice(host.length)}`;
  const folder = await mkdtemp(join(tmpdir(), 'chaperone-push-'));
  try {
    await promisify(execFile)('tar', ['-C', folder, '-xf', tar]);
    const [archive] = JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8')) as [{ Config: string; Layers: string[] }];
    const imported = JSON.parse(await readFile(join(folder, archive.Config), 'utf8')) as { rootfs: { diff_ids: string[] } };
    // Another ID than that of the tar: where one ID comes by two manifests, containerd 1.6 forgets one of its names.
    const config = Buffer.from(JSON.stringify({ ...imported, comment: 'pushed' }));
    const configDigest = `sha256:${hashOf(config)}`;
    await writeFile(join(folder, archive.Config), config);
    await upload(api, join(folder, archive.Config), configDigest);
    const layers = [];
    for (const [i, file] of archive.Layers.entries()) {
      const digest = imported.rootfs.diff_ids[i] ?? '';
      await upload(api, join(folder, file), digest);
      layers.push({ mediaType: `${OCI}.layer.v1.tar`, size: (await stat(join(folder, file))).size, digest });
    }
    const manifest = {
      schemaVersion: 2,
      mediaType: `${OCI}.manifest.v1+json`,
      config: { mediaType: `${OCI}.config.v1+json`, size: config.length, digest: configDigest },
      layers,
    };
    const headers = { 'content-type': manifest.mediaType };
    await must(await fetch(`${api}/manifests/${tag}`, { method: 'PUT', headers, body: JSON.stringify(manifest) }), 201);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return `${repository}:${tag}`;
}

async function upload(api: string, file: string, digest: string): Promise<void> {
  if ((await fetch(`${api}/blobs/${digest}`, { method: 'HEAD' })).ok) return;
  const begun = await must(await fetch(`${api}/blobs/uploads/`, { method: 'POST' }), 202);
  const place = new URL(begun.headers.get('location') ?? '', api);
  place.searchParams.set('digest', digest);
  const headers = { 'content-type': 'application/octet-stream', 'content-length': String((await stat(file)).size) };
  await must(await fetch(place, { method: 'PUT', headers, body: createReadStream(file), duplex: 'half' }), 201);
}

async function must(response: Response, status: number): Promise<Response> {
  if (response.status !== status) throw new Error(`the registry said ${response.status}: ${await response.text()}`);
  return response;
}
