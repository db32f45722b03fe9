/** `npm run e2e:cluster -- up|down|status|build NAME…|images|push REGISTRY|s3 HOST`: the cluster of the tests, by hand, and what another needs. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { binary } from './binaries.ts';
import { current, down, importInto, status, up } from './cluster.ts';
import { buildImages } from './images.ts';
import { push } from './registry.ts';
import { startS3 } from './s3.ts';
import { type BinaryName, RECIPES } from './versions.ts';

const [command, ...rest] = process.argv.slice(2);
const begun = Date.now();

switch (command) {
  case 'up': {
    const cluster = await up();
    const tars = rest.filter((arg) => arg.endsWith('.tar'));
    if (tars.length > 0) await importInto(cluster.dir, tars);
    else if (!rest.includes('--no-images')) await importInto(cluster.dir, await tarsOf(buildImages()));
    say(`up after ${seconds()} s`);
    console.log(`export KUBECONFIG=${cluster.kubeconfig}`);
    break;
  }
  case 'down':
    await down();
    say(`down after ${seconds()} s`);
    break;
  case 'status': {
    for (const { name, running } of await status()) console.log(`${running ? '✔' : '✖'} ${name}`);
    const cluster = await current();
    console.log(cluster ? `export KUBECONFIG=${cluster.kubeconfig}` : 'not up');
    process.exitCode = cluster ? 0 : 1;
    break;
  }
  case 'build':
    for (const name of rest.length > 0 ? rest : Object.keys(RECIPES)) {
      if (!(name in RECIPES)) throw new Error(`no such program: ${name}; there are ${Object.keys(RECIPES).join(', ')}`);
      console.log(await binary(name as BinaryName));
    }
    break;
  case 'images':
    for (const { name, tar } of await buildImages()) console.log(`${name} ${tar}`);
    break;
  case 'push': {
    const [registry] = rest;
    if (registry === undefined) throw new Error('push HOST/PATH');
    for (const image of await buildImages()) console.log(await push(registry, image));
    break;
  }
  case 's3': {
    const dir = await mkdtemp(join(tmpdir(), 'chaperone-s3-'));
    const s3 = await startS3({ dir, host: rest[0] ?? '127.0.0.1' });
    console.log(`export CHAPERONE_S3=${s3.endpoint} AWS_REGION=${s3.region}`);
    console.log(`export AWS_ACCESS_KEY_ID=${s3.accessKeyId} AWS_SECRET_ACCESS_KEY=${s3.secretAccessKey}`);
    say('serves until it is interrupted');
    const waiting = setInterval(() => {}, 1 << 30);
    await Promise.race(['SIGINT', 'SIGTERM'].map((signal) => once(process, signal)));
    clearInterval(waiting);
    await s3.stop();
    await rm(dir, { recursive: true, force: true });
    break;
  }
  default:
    say('up [--no-images | TAR…] | down | status | build [NAME…] | images | push HOST/PATH | s3 [ADDRESS]');
    process.exitCode = 2;
}

async function tarsOf(images: ReturnType<typeof buildImages>): Promise<string[]> {
  return (await images).map(({ tar }) => tar);
}

function seconds(): string {
  return ((Date.now() - begun) / 1000).toFixed(1);
}

function say(text: string): void {
  process.stderr.write(`e2e/cluster: ${text}\n`);
}
