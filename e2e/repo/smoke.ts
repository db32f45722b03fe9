import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, cp, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Version } from '#cli/version.ts';
import { ROOT } from './tree.ts';

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Credentials of nothing: without any the S3 client would look for some on the network. */
const NOBODY = { AWS_ACCESS_KEY_ID: 'nobody', AWS_SECRET_ACCESS_KEY: 'nothing' };

/**
 * Runs what was built, from a copy where no node_modules can help it: the CLI validates, judges a statement (which needs the parser's
 * WASM) and compiles; the sidecar serves what was compiled. Throws where one doesn't do what it should; returns a line for each.
 */
export async function smokeTest(dist: string, { version, commit }: Version): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'chaperone-smoke-'));
  try {
    const [cli, sidecar, snapshot] = [join(folder, 'chaperone.js'), join(folder, 'sidecar.js'), join(folder, 'snapshot.json')];
    const files = (await readdir(dist)).filter((name) => /^chaperone.*\.js$|^sidecar\.js$|^libpg-query\.wasm$|^install\.yaml$/.test(name));
    for (const name of files) await copyFile(join(dist, name), join(folder, name));
    await cp(join(ROOT, 'examples/quickstart'), join(folder, 'manifests'), { recursive: true });
    const manifests = ['--manifests', join(folder, 'manifests'), '--workload', 'shop/agent'];
    const judged = ['simulate', ...manifests, '--resource', 'shop-db', '--sql', 'DROP TABLE orders'];
    expect('--version', await run(cli, ['--version']), 0, `${version} (${commit ?? ''}`);
    expect(
      'install',
      await run(cli, ['install', '--registry', 'registry.example.com/x', '--print']),
      0,
      'registry.example.com/x/operator:',
    );
    expect('validate', await run(cli, ['validate', join(folder, 'manifests')]), 0, 'valid');
    expect('simulate', await run(cli, judged), 3, 'no-drop');
    // Nobody listens there: what is asked of it is whether it has a client at all.
    const bucket = ['sessions', 'ls', '--bucket', 's3://recordings', '--endpoint', 'http://127.0.0.1:9', '--region', 'us-east-1'];
    expect('sessions --bucket', await run(cli, bucket), 2, 'ECONNREFUSED');
    const compiled = expect('compile', await run(cli, ['compile', join(folder, 'manifests'), '--workload', 'shop/agent']), 0, 'shop-db');
    await writeFile(snapshot, compiled.stdout);
    const served = await run(
      sidecar,
      ['--snapshot', snapshot, '--state', join(folder, 'state'), '--workload', 'shop/agent'],
      'policy in force',
    );
    expect('the sidecar', served, 0, 'policy in force');
    return [
      'chaperone.js --version, install, validate, simulate, sessions, compile',
      'sidecar.js serves what chaperone.js compiled, and drains',
    ];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Runs to the end; `until` is what it says when it has had its time, and is told to stop. */
async function run(file: string, args: readonly string[], until?: string): Promise<Ran> {
  const child = spawn(process.execPath, [file, ...args], { cwd: '/', env: NOBODY, stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000 });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
    if (until !== undefined && stderr.includes(until)) child.kill('SIGTERM');
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

function expect(what: string, ran: Ran, code: number, text: string): Ran {
  if (ran.code === code && (ran.stdout + ran.stderr).includes(text)) return ran;
  throw new Error(`${what} ended with ${ran.code} instead of ${code}, and said: ${ran.stdout}${ran.stderr}`);
}
