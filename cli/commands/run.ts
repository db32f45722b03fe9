import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { TokenIssuer } from '#sidecar/identity/issuers.ts';
import { readIssuers } from '#sidecar/identity/read-issuers.ts';
import type { Log, VerdictLine } from '#sidecar/pipeline.ts';
import { addressText, parseListens, parsePort, parseWorkload } from '#sidecar/start/address.ts';
import { readLimits } from '#sidecar/start/limits.ts';
import { refuseUnknownListens, type Sidecar, type SidecarOptions, startSidecar } from '#sidecar/start.ts';
import { lineWriter } from '#sidecar/telemetry/line-writer.ts';
import { createLog } from '#sidecar/telemetry/log.ts';
import { verdictJson, verdictText } from '#sidecar/telemetry/verdict-line.ts';
import { CliError, EXIT, usageError } from '../exit.ts';
import { Generations } from '../folder/generations.ts';
import { missingSecrets } from '../folder/missing-secrets.ts';
import { problemText } from '../folder/objects.ts';
import { type FolderOptions, type FolderRead, type FolderState, loadFolder, watchFolder } from '../folder/source.ts';
import type { Io } from '../io.ts';
import { type Common, parsing, seconds } from '../options.ts';
import { table } from '../sessions/table.ts';

export interface RunOptions extends Common {
  readonly manifests: string;
  readonly secrets?: string;
  readonly state: string;
  readonly workload: string;
  readonly listen: readonly string[];
  readonly issuers?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly metricsPort?: string;
  readonly limit: readonly string[];
  readonly drainTimeout: string;
}

/** Serves every ProtectedResource of a folder until it is told to stop. Verdicts go to stdout, everything else to stderr. */
export async function run(options: RunOptions, io: Io): Promise<number> {
  const settings = parsing(() => settingsOf(options));
  const log = createLog({ stream: io.stderr, format: options.output === 'json' ? 'json' : 'pretty', color: io.color.stderr });
  const generations = new Generations();
  const first = loadFolder(settings.folder, generations);
  if (!first.ok) throw new CliError(first.problems.map(problemText).join('\n'));
  const { resources } = first.state.snapshot;
  parsing(() => refuseUnknownListens(settings.sidecar.listen ?? new Map(), resources));

  const textOf = (line: VerdictLine) => (options.output === 'json' ? verdictJson(line) : verdictText(line, io.color.stdout));
  const lines = lineWriter(io.stdout, textOf);
  const stop = new Promise<void>((resolve) => io.onStop(resolve));
  const sidecar = await startSidecar({ ...settings.sidecar, log, onVerdict: lines.write, now: io.now });
  try {
    await publish(sidecar, first.state, log);
    tellWhereItListens(sidecar, first.state, options, io);
    const watched = watchFolder(settings.folder, generations, (read) => void reload(sidecar, read, log));
    await stop;
    watched.close();
    log.info({}, 'draining; a second signal ends it at once');
    await sidecar.drain(settings.drainMs);
  } finally {
    await sidecar.close();
    lines.flush();
  }
  return EXIT.ok;
}

interface Settings {
  readonly folder: FolderOptions;
  readonly sidecar: Omit<SidecarOptions, 'log'>;
  readonly drainMs: number;
}

function settingsOf(options: RunOptions): Settings {
  const workload = parseWorkload(options.workload);
  const { tlsCert, tlsKey } = options;
  if ((tlsCert === undefined) !== (tlsKey === undefined)) throw usageError('--tls-cert and --tls-key belong together');
  return {
    folder: { manifests: options.manifests, workload, ...(options.secrets === undefined ? {} : { secrets: options.secrets }) },
    sidecar: {
      state: resolve(options.state),
      workload,
      listen: parseListens(options.listen),
      issuers: options.issuers === undefined ? [] : issuersOf(options.issuers),
      limits: readLimits(options.limit),
      ...(tlsCert === undefined || tlsKey === undefined ? {} : { tls: { certificateFile: tlsCert, keyFile: tlsKey } }),
      ...(options.metricsPort === undefined ? {} : { metricsPort: parsePort('--metrics-port', options.metricsPort) }),
    },
    drainMs: seconds('--drain-timeout', options.drainTimeout, 3600) * 1000,
  };
}

function issuersOf(file: string): TokenIssuer[] {
  try {
    return readIssuers(readFileSync(file, 'utf8'), dirname(file));
  } catch (error) {
    throw usageError(`--issuers ${file}: ${error instanceof Error && error.name === 'IssuersError' ? error.message : 'can not be read'}`);
  }
}

async function publish(sidecar: Sidecar, state: FolderState, log: Log): Promise<void> {
  for (const warning of state.warnings) log.warn({}, problemText(warning));
  for (const missing of missingSecrets(state.snapshot, state.secrets)) log.warn({}, missing);
  const result = await sidecar.publish(state.snapshot, state.secrets);
  if (!result.ok) throw new CliError(`the policy was refused (${result.code}): ${result.problems.join('; ')}`);
  for (const problem of result.problems) log.warn({}, problem);
  if (result.changed) log.info({ version: result.version }, 'policy in force');
}

/** A folder that is wrong, or a policy that is refused, changes nothing; whoever edited it is told. */
async function reload(sidecar: Sidecar, read: FolderRead, log: Log): Promise<void> {
  try {
    if (read.ok) return await publish(sidecar, read.state, log);
    for (const problem of read.problems) log.error({}, problemText(problem));
    log.error({ version: sidecar.version }, 'the edit is not in force: the last good policy stays');
  } catch (error) {
    log.error({ version: sidecar.version }, error instanceof Error ? error.message : 'the reload failed');
  }
}

function tellWhereItListens(sidecar: Sidecar, state: FolderState, options: RunOptions, io: Io): void {
  if (options.output === 'json') {
    const addresses = Object.fromEntries([...sidecar.addresses].map(([key, address]) => [key, addressText(address)]));
    io.stderr.write(`${JSON.stringify({ ready: true, addresses, caFile: sidecar.caFile, metricsPort: sidecar.metricsPort })}\n`);
    return;
  }
  const rows = state.snapshot.resources.flatMap((resource) => {
    const address = sidecar.addresses.get(`${resource.namespace}/${resource.name}`);
    return address === undefined
      ? []
      : [[`${resource.namespace}/${resource.name}`, resource.protocol, addressText(address), addressText(resource.address)]];
  });
  io.stderr.write(`\n${table(['RESOURCE', 'PROTOCOL', 'LISTENS ON', 'TARGET'], rows)}`);
  if (sidecar.caFile !== null) io.stderr.write(`agents trust: ${sidecar.caFile}\n`);
  if (sidecar.metricsPort !== null) io.stderr.write(`metrics: http://127.0.0.1:${sidecar.metricsPort}/metrics\n`);
  io.stderr.write('ready\n\n');
}
