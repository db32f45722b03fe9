/**
 * `npm run e2e`: brings the cluster up, runs the tests that need programs of the system or a Kubernetes, takes it down.
 * `-- PATH…` runs only those. `--keep` leaves the cluster up; one that was up before stays up anyway.
 * With KUBECONFIG that cluster is used, and `--registry HOST/PATH` says where its nodes find operator:e2e, sidecar:e2e and debian:e2e.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { current, down, importInto, up } from './cluster/cluster.ts';
import { buildImages } from './cluster/images.ts';
import { NEEDS_SYSTEM, testFiles } from './repo/test-files.ts';
import { ROOT } from './repo/tree.ts';

const { paths, options, keep, registry } = read(process.argv.slice(2));
const files = await testFiles(paths.length > 0 ? paths : NEEDS_SYSTEM);
const foreign = Boolean(process.env['KUBECONFIG']);
const stopping = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stopping.abort());

if (files.length === 0) {
  process.stderr.write(`no tests in ${paths.join(', ')}\n`);
  process.exitCode = 2;
} else if (foreign) {
  process.exitCode = await runTests();
} else {
  const wasUp = (await current()) !== undefined;
  try {
    const begun = Date.now();
    const images = await buildImages();
    await importInto((await up()).dir, images);
    process.stderr.write(`e2e: the cluster is up after ${((Date.now() - begun) / 1000).toFixed(1)} s\n`);
    process.exitCode = stopping.signal.aborted ? 130 : await runTests();
  } finally {
    if (!keep && !wasUp) await down();
  }
}

async function runTests(): Promise<number> {
  const args = ['--test', '--test-concurrency=1', '--test-timeout=600000', ...options, ...files];
  const env = { ...process.env, ...(registry === undefined ? {} : { CHAPERONE_REGISTRY: registry }) };
  const child = spawn(process.execPath, args, { cwd: ROOT, env, stdio: 'inherit' });
  stopping.signal.addEventListener('abort', () => child.kill('SIGTERM'));
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? 1;
}

function read(args: readonly string[]): { paths: string[]; options: string[]; keep: boolean; registry: string | undefined } {
  const at = args.findIndex((arg) => /^--registry(=|$)/.test(arg));
  const registry = at < 0 ? undefined : (args[at]?.split('=')[1] ?? args[at + 1]);
  const taken = at < 0 ? [] : args[at]?.includes('=') ? [at] : [at, at + 1];
  const rest = args.filter((arg, i) => !taken.includes(i) && arg !== '--keep');
  const isOption = (arg: string) => arg.startsWith('-');
  return { paths: rest.filter((arg) => !isOption(arg)), options: rest.filter(isOption), keep: args.includes('--keep'), registry };
}
