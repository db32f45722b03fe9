/**
 * `npm run e2e`: brings clusters up, runs the tests that need programs of the system or a Kubernetes, takes them down.
 * `-- PATH…` runs only those. `--keep` leaves the clusters up; one that was up before stays up anyway. `--clusters N`: where
 * nothing is said 2 on a machine with four processors, else 1; the files that need no cluster run beside them.
 * With KUBECONFIG that cluster is used, and `--registry HOST/PATH` says where its nodes find operator:e2e, sidecar:e2e and debian:e2e;
 * without it they have them already, by the names of `npm run e2e:cluster -- images`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { clusterNumber } from './cluster/config.ts';
import { build, buildImages } from './cluster/images.ts';
import { type Lane, longestFirst, needsCluster, type Ran, runLane, summary } from './lanes.ts';
import { NEEDS_SYSTEM, testFiles } from './repo/test-files.ts';
import { ROOT } from './repo/tree.ts';

const { values, positionals, tokens } = parseArgs({
  args: process.argv.slice(2),
  strict: false,
  allowPositionals: true,
  tokens: true,
  options: { registry: { type: 'string' }, clusters: { type: 'string' }, keep: { type: 'boolean' } },
});
/** Node's own, as `--test-name-pattern=…`. */
const options = tokens.flatMap((token) =>
  token.kind === 'option' && !(token.name in { registry: 0, clusters: 0, keep: 0 })
    ? [token.rawName + (token.value === undefined ? '' : `=${token.value}`)]
    : [],
);
const files = longestFirst(await testFiles(positionals.length > 0 ? positionals : NEEDS_SYSTEM));
const onCluster = files.filter(needsCluster);
const alone = files.filter((file) => !needsCluster(file));
const stopping = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stopping.abort());
const begun = Date.now();

if (files.length === 0) {
  process.stderr.write(`no tests in ${positionals.join(', ')}\n`);
  process.exitCode = 2;
} else {
  await build();
  process.env['CHAPERONE_BUILT'] = '1';
  const lanes: (() => Promise<Ran[]>)[] = alone.length > 0 ? [() => run({ name: 'no cluster', env: process.env, files: alone })] : [];
  if (process.env['KUBECONFIG']) {
    const { registry } = values;
    const env = { ...process.env, ...(typeof registry === 'string' ? { CHAPERONE_REGISTRY: registry } : {}) };
    lanes.push(() => run({ name: 'KUBECONFIG', env, files: onCluster }));
  } else if (onCluster.length > 0) {
    const tars = (await buildImages()).map(({ tar }) => tar);
    const count = Math.max(1, Math.min(Number(values.clusters ?? (availableParallelism() >= 4 ? 2 : 1)), onCluster.length));
    // Numbers of those that people start by hand are low.
    for (let i = 0; i < count; i++) lanes.push(() => onOwnCluster((clusterNumber() + i * 5) % 10, tars));
  }
  const ended = await Promise.allSettled(lanes.map((lane) => lane()));
  const ran = ended.flatMap((lane) => (lane.status === 'fulfilled' ? lane.value : []));
  for (const lane of ended) if (lane.status === 'rejected') process.stderr.write(`e2e: ${String(lane.reason)}\n`);
  process.stdout.write(summary(ran));
  say(`${files.length} files, ${((Date.now() - begun) / 1000).toFixed(0)} s`);
  process.exitCode = stopping.signal.aborted ? 130 : ran.length === files.length && ran.every(({ code }) => code === 0) ? 0 : 1;
}

/** Takes from the files that need a cluster, with the other clusters' lanes. */
async function onOwnCluster(number: number, tars: readonly string[]): Promise<Ran[]> {
  const env = { ...process.env, CHAPERONE_CLUSTER: String(number) };
  const wasUp = (await cluster(env, ['status'], 'ignore')) === 0;
  try {
    if ((await cluster(env, ['up', ...tars])) !== 0) throw new Error(`cluster ${number} did not come up`);
    say(`cluster ${number} is up after ${((Date.now() - begun) / 1000).toFixed(0)} s`);
    return await run({ name: `cluster ${number}`, env, files: onCluster });
  } finally {
    if (!values.keep && !wasUp) await cluster(env, ['down']);
  }
}

function run(lane: Lane): Promise<Ran[]> {
  return runLane(lane, options, stopping.signal);
}

async function cluster(env: NodeJS.ProcessEnv, args: readonly string[], output: 'inherit' | 'ignore' = 'inherit'): Promise<number> {
  // Standard output is the tests'.
  const stdio = ['ignore', output === 'inherit' ? 2 : output, output] as const;
  const child = spawn(process.execPath, ['e2e/cluster/main.ts', ...args], { cwd: ROOT, env, stdio: [...stdio] });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? 1;
}

function say(text: string): void {
  process.stderr.write(`e2e: ${text}\n`);
}
