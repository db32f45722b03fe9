/** Test files side by side: a lane takes the next file when it is done with one, so that the long ones don't wait for each other. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { ROOT } from './repo/tree.ts';

export interface Ran {
  readonly file: string;
  readonly lane: string;
  readonly seconds: number;
  readonly code: number;
}

export interface Lane {
  readonly name: string;
  readonly env: NodeJS.ProcessEnv;
  /** Shared with the lanes that take from the same: the first is taken next. */
  readonly files: string[];
}

/** Longest first: what is begun last should be short. Others are taken as short. */
const LONG = [
  'e2e/kubernetes/failure.test.ts',
  'e2e/kubernetes/attacks/attacks.test.ts',
  'e2e/kubernetes/agent.test.ts',
  'e2e/kubernetes/docs.test.ts',
  'e2e/kubernetes/install.test.ts',
  'e2e/clients/same.test.ts',
  'e2e/operator/admission.test.ts',
  'e2e/operator/approvals.test.ts',
];

export function longestFirst(files: readonly string[]): string[] {
  const rank = (file: string) => (LONG.includes(file) ? LONG.indexOf(file) : LONG.length);
  return files.toSorted((a, b) => rank(a) - rank(b));
}

/** What needs a whole cluster. The others start what they need themselves. */
export function needsCluster(file: string): boolean {
  return file.startsWith('e2e/kubernetes/') || file === 'e2e/cluster/foreign.test.ts';
}

/** Runs what the lane takes, one file after the other; what a file prints is shown when it has ended, so that files don't mix. */
export async function runLane({ name, env, files }: Lane, options: readonly string[], stopping: AbortSignal): Promise<Ran[]> {
  const ran: Ran[] = [];
  for (let file = files.shift(); file !== undefined && !stopping.aborted; file = files.shift()) {
    const begun = Date.now();
    const args = ['--test', '--test-reporter=spec', '--test-timeout=600000', ...options, file];
    const child = spawn(process.execPath, args, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'] });
    const stop = () => child.kill('SIGTERM');
    stopping.addEventListener('abort', stop);
    const said: Buffer[] = [];
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => said.push(chunk));
    const [code] = (await once(child, 'close')) as [number | null];
    stopping.removeEventListener('abort', stop);
    const seconds = (Date.now() - begun) / 1000;
    process.stdout.write(Buffer.concat([Buffer.from(`\n▷ ${file} (${name}, ${seconds.toFixed(0)} s)\n`), ...said]));
    ran.push({ file, lane: name, seconds, code: code ?? 1 });
  }
  return ran;
}

export function summary(ran: readonly Ran[]): string {
  const lines = ran
    .toSorted((a, b) => b.seconds - a.seconds)
    .map(({ file, lane, seconds, code }) => `${code === 0 ? '✔' : '✖'} ${seconds.toFixed(0).padStart(5)} s  ${lane.padEnd(12)} ${file}`);
  return `\n${lines.join('\n')}\n`;
}
