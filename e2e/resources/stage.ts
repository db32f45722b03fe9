/** A real PostgreSQL and a real sidecar process before it, whose memory is looked at from outside. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import type { ResourceLimitName } from '#crds/policy/limits.ts';
import { generatePassword, type Postgres, startPostgres } from '#e2e/postgres/server.ts';

const CLI = fileURLToPath(new URL('../../cli/main.ts', import.meta.url));
const WORKLOAD = 'load/agent';
/** In each resource's policy: approval is needed for it. */
export const HELD_TABLE = 'public.held';

export interface ResourceOptions {
  readonly name: string;
  readonly limits?: { readonly [name in ResourceLimitName]?: number };
  /** Detectors look into every row. */
  readonly detects?: boolean;
  /** Columns that are masked with null. */
  readonly masks?: readonly string[];
}

export interface StageOptions {
  readonly resources: readonly ResourceOptions[];
  readonly initSql?: string;
  /** Of the sidecar: `--limit …`. */
  readonly args?: readonly string[];
  /** A shell's words before the sidecar's command: `ulimit -f 64;`. */
  readonly before?: string;
}

export interface Stage {
  readonly postgres: Postgres;
  readonly login: { readonly user: string; readonly database: string };
  readonly state: string;
  readonly pid: number;
  /** Null while it runs. */
  readonly exitCode: () => number | null;
  port(resource: string): number;
  /** The sidecar's log so far. */
  log(): string;
  /** Value of a metric, summed over what the labels leave open. */
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number>;
  stop(): Promise<void>;
}

export async function openStage(options: StageOptions): Promise<Stage> {
  const folder = await mkdtemp(join(tmpdir(), 'chaperone-resources-'));
  const password = generatePassword();
  const postgres = await startPostgres({
    database: 'load',
    roles: [{ name: 'app', password }],
    initSql: `GRANT ALL ON SCHEMA public TO app; CREATE TABLE held (id int); GRANT ALL ON held TO app; ${options.initSql ?? ''}`,
    settings: { max_connections: '150' },
  });
  try {
    await mkdir(join(folder, 'manifests'));
    const manifests = manifestsFor(postgres.port, password, options.resources).map((one) =>
      stringify(one, { aliasDuplicateObjects: false }),
    );
    await writeFile(join(folder, 'manifests/all.yaml'), manifests.join('---\n'), { mode: 0o600 });
    return await started(folder, postgres, options);
  } catch (error: unknown) {
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

interface Ready {
  readonly addresses: Readonly<Record<string, string>>;
  readonly metricsPort: number;
}

async function started(folder: string, postgres: Postgres, { before = '', args = [] }: StageOptions): Promise<Stage> {
  const state = join(folder, 'state');
  const command = ['run', '--manifests', join(folder, 'manifests'), '--state', state, '--workload', WORKLOAD, '--metrics-port', '0'];
  const words = [process.execPath, '--disable-sigusr1', CLI, ...command, '--output', 'json', ...args];
  const child = spawn('/bin/sh', ['-c', `${before} exec "$@"`, 'sh', ...words], { stdio: ['ignore', 'ignore', 'pipe'] });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  let log = '';
  const ready = await new Promise<Ready>((resolve, reject) => {
    child.once('exit', () => reject(new Error(`the sidecar ended: ${log}`)));
    createInterface({ input: child.stderr }).on('line', (line) => {
      log = `${log}${line}\n`.slice(-200_000);
      if (line.startsWith('{"ready":true')) resolve(JSON.parse(line) as Ready);
    });
  });
  const stop = async () => {
    await ended(child);
    process.off('exit', kill);
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
  };
  return {
    postgres,
    login: { user: 'app', database: 'load' },
    state,
    pid: child.pid as number,
    exitCode: () => child.exitCode,
    port: (resource) => Number(ready.addresses[`load/${resource}`]?.split(':').at(-1)),
    log: () => log,
    metric: (name, labels) => metric(ready.metricsPort, name, labels ?? {}),
    stop,
  };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  const late = setTimeout(() => child.kill('SIGKILL'), 15_000);
  await exit;
  clearTimeout(late);
}

async function metric(port: number, name: string, labels: Readonly<Record<string, string>>): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  const lines = text.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  return lines.filter((line) => wanted.every((one) => line.includes(one))).reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

function manifestsFor(port: number, password: string, resources: readonly ResourceOptions[]): object[] {
  const of = (kind: string, name: string, spec: object) => ({
    apiVersion: 'chaperone.dev/v1alpha1',
    kind,
    metadata: { name, namespace: 'load' },
    spec,
  });
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'login', namespace: 'load' },
    stringData: { username: 'app', password },
  };
  const gate = of('ApprovalGate', 'gate', { approvers: [{ group: 'leads' }], timeoutSeconds: 600, grant: { scope: 'Statement' } });
  const postgresql = { database: 'load', users: [{ name: 'app', secretRef: { name: 'login' } }] };
  const address = { host: '127.0.0.1', port };
  const subjects = [{ serviceAccount: { namespace: 'load', name: 'agent' } }, { group: 'people' }];
  const held = { relations: [HELD_TABLE], statements: ['Insert'] };
  const rules = [
    { name: 'held', action: 'RequireApproval', sql: held, gateRefs: [{ name: 'gate' }] },
    { name: 'all', action: 'Allow' },
  ];
  const some = resources.flatMap(({ name, limits, detects, masks }) => [
    of('ProtectedResource', name, { protocol: 'PostgreSQL', address, tls: { mode: 'Disable' }, postgresql, ...(limits && { limits }) }),
    of('AccessPolicy', name, { targetRefs: [{ name }], subjects, rules }),
    ...(detects || masks
      ? [
          of('MaskingRule', name, {
            targetRefs: [{ name }],
            ...(masks && { columns: masks.map((column) => ({ column, strategy: { type: 'Null' } })) }),
            ...(detects && { detectors: [{ name: 'card', type: 'Card', strategy: { type: 'Redact' } }] }),
          }),
        ]
      : []),
  ]);
  return [secret, gate, ...some];
}

/** Resident memory of a process, in MB. */
export async function residentMb(pid: number): Promise<number> {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

/** Starts to watch; the function that it returns tells the most that the process had since, in MB. The kernel counts, so that no peak is missed. */
export async function watchPeak(pid: number): Promise<() => Promise<number>> {
  await writeFile(`/proc/${pid}/clear_refs`, '5');
  return async () => Number(/^VmHWM:\s+(\d+) kB/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}
