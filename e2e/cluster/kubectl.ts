import { execFile } from 'node:child_process';
import { binary } from './binaries.ts';
import type { BinaryName } from './versions.ts';

export interface Ran {
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** Standard input: manifests, for `apply -f -`. */
  readonly input?: string;
  readonly timeoutMs?: number;
}

export type Kubectl = (args: readonly string[], options?: RunOptions) => Promise<Ran>;

/** kubectl with this kubeconfig. Rejects, with what it said, where it ends with another code than 0. */
export function kubectlOf(kubeconfig: string): Kubectl {
  return (args, options) => run('kubectl', ['--kubeconfig', kubeconfig, ...args], options);
}

export function helmOf(kubeconfig: string): Kubectl {
  return (args, options) => run('helm', ['--kubeconfig', kubeconfig, ...args], options);
}

async function run(name: BinaryName, args: readonly string[], { input = '', timeoutMs = 120_000 }: RunOptions = {}): Promise<Ran> {
  const program = await binary(name);
  return new Promise((resolve, reject) => {
    const child = execFile(program, args, { cwd: '/', maxBuffer: 1 << 28, timeout: timeoutMs }, (error, stdout, stderr) => {
      if (error === null) return resolve({ stdout, stderr });
      const why = error.killed ? `no end after ${timeoutMs / 1000} s` : `code ${error.code ?? error.signal}`;
      reject(new Error(`${name} ${args.slice(2).join(' ')}: ${why}\n${stderr}${stdout}`));
    });
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
  });
}
