/**
 * The commands of docs/install.md and docs/operations.md, as they stand there and in that order, on a cluster that has nothing of ours yet.
 * Only what a reader has to fill in is filled in: values.yaml, and where the images of the examples come from.
 */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { binary } from '#e2e/cluster/binaries.ts';
import { type TestCluster, testCluster } from '#e2e/cluster/test-cluster.ts';
import { type Block, blocks, commands } from '#e2e/repo/docs.ts';
import { ROOT } from '#e2e/repo/tree.ts';
import { postgresUserOf, withOwnImages } from './examples.ts';
import { imageValues, purgeChaperone } from './install.ts';

const PAGES = ['docs/install.md', 'docs/operations.md'];
/** Part of the first page, run after all of the second. */
const LAST = 'Uninstall';

interface Step {
  readonly where: string;
  readonly command: string;
  /** What the page shows of its output: each line must be in it. */
  readonly shown: readonly string[];
}

const [steps, end] = await stepsOf();

describe('the pages for admins, command by command', { timeout: 1_800_000 }, () => {
  let cluster: TestCluster;
  let dir: string;
  let shell: Shell;

  before(async () => {
    cluster = await testCluster();
    await purge();
    dir = await workingCopy(cluster);
    shell = startShell(dir, await environment(cluster, dir));
  });
  after(async () => {
    await shell?.close();
    await purge();
    if (dir) await rm(dir, { recursive: true, force: true });
  });
  const purge = async () => {
    await cluster.kubectl(['delete', 'namespace', 'shop', '--ignore-not-found'], { timeoutMs: 180_000 });
    await purgeChaperone(cluster);
  };

  // A step needs the ones before it: after a failure the others are not tried.
  let broken: string | null = null;
  for (const { where, command, shown } of [...steps, ...end]) {
    it(`${where}: ${command}`, async (t) => {
      if (broken !== null) return t.skip(`after ${broken}`);
      broken = where;
      const { code, said } = await shell.run(command);
      assert.equal(code, 0, said);
      for (const line of shown) assert.ok(said.includes(line.trimEnd()), `the page shows:\n${line}\nand it said:\n${said}`);
      broken = null;
    });
  }
});

async function stepsOf(): Promise<[Step[], Step[]]> {
  const found: { readonly step: Step; readonly last: boolean }[] = [];
  for (const path of PAGES) {
    const text = await readFile(join(ROOT, path), 'utf8');
    const from = text.split('\n').findIndex((line) => line === `## ${LAST}`);
    for (const block of blocks(path, text).filter(({ language }) => language === 'console')) {
      const last = from >= 0 && block.line > from;
      found.push(...stepsIn(block).map((step) => ({ step, last })));
    }
  }
  const part = (wanted: boolean) => found.filter(({ last }) => last === wanted).map(({ step }) => step);
  return [part(false), part(true)];
}

/** Lines after a command and before the next are what it prints. */
function stepsIn(block: Block): Step[] {
  const where = `${block.path}:${block.line}`;
  const outputs: string[][] = [];
  for (const line of block.text.replaceAll('\\\n', ' ').split('\n')) {
    if (line.startsWith('$ ')) outputs.push([]);
    else if (line.trim() !== '') outputs.at(-1)?.push(line);
  }
  return commands(block).map((command, i) => ({ where, command, shown: outputs[i] ?? [] }));
}

/** The charts and examples as in the tree, with images that the cluster has. */
async function workingCopy(cluster: TestCluster): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'chaperone-docs-'));
  await symlink(join(ROOT, 'charts'), join(dir, 'charts'));
  await cp(join(ROOT, 'examples'), join(dir, 'examples'), { recursive: true });
  await writeFile(join(dir, 'values.yaml'), JSON.stringify(imageValues(cluster)));
  const postgres = await postgresUserOf(cluster);
  const folder = join(dir, 'examples/kubernetes-quickstart');
  for (const name of await readdir(folder)) {
    const text = await readFile(join(folder, name), 'utf8');
    await writeFile(join(folder, name), withOwnImages(text, cluster, postgres));
  }
  return dir;
}

async function environment({ kubeconfig }: TestCluster, dir: string): Promise<NodeJS.ProcessEnv> {
  const bin = join(dir, '.bin');
  await promisify(execFile)('mkdir', ['-p', bin]);
  for (const name of ['helm', 'kubectl'] as const) await symlink(await binary(name), join(bin, name));
  return {
    PATH: `${bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    HOME: dir,
    KUBECONFIG: kubeconfig,
    LC_ALL: 'C.UTF-8',
  };
}

interface Shell {
  run(command: string): Promise<{ readonly code: number; readonly said: string }>;
  close(): Promise<void>;
}

/** One bash for all of it: a variable that one command sets is there for the next. */
function startShell(cwd: string, env: NodeJS.ProcessEnv): Shell {
  const child = spawn('bash', ['--noprofile', '--norc'], { cwd, env, stdio: ['pipe', 'pipe', 'pipe'] });
  const mark = `end-of-command-${process.pid}`;
  let said = '';
  let heard = () => {};
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      heard();
    });
  }
  const closed = new Promise<void>((resolve) => child.on('close', () => resolve()));
  return {
    run: (command) =>
      new Promise((resolve, reject) => {
        said = '';
        heard = () => {
          const [whole, code] = new RegExp(`${mark} (\\d+)\\n`).exec(said) ?? [];
          if (whole === undefined) return;
          heard = () => {};
          resolve({ code: Number(code), said: said.replace(whole, '') });
        };
        void closed.then(() => reject(new Error(`the shell ended:\n${said}`)));
        // Standard input is the shell's script: no command may read it.
        child.stdin.write(`set -o pipefail; { ${command}\n} </dev/null 2>&1; echo "${mark} $?"\n`);
      }),
    close: () => {
      child.stdin.end('exit\n');
      return closed;
    },
  };
}
