/** `npm run e2e:cluster -- up|down|status|build NAME…`: the cluster of the tests, by hand. */
import { binary } from './binaries.ts';
import { current, down, importInto, status, up } from './cluster.ts';
import { buildImages } from './images.ts';
import { type BinaryName, RECIPES } from './versions.ts';

const [command, ...rest] = process.argv.slice(2);
const begun = Date.now();

switch (command) {
  case 'up': {
    const cluster = await up();
    if (!rest.includes('--no-images')) await importInto(cluster.dir, await buildImages());
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
  default:
    say('up [--no-images] | down | status | build [NAME…]');
    process.exitCode = 2;
}

function seconds(): string {
  return ((Date.now() - begun) / 1000).toFixed(1);
}

function say(text: string): void {
  process.stderr.write(`e2e/cluster: ${text}\n`);
}
