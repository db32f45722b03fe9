/**
 * The entry of the sidecar's image: with an operator (`--operator`), or from a snapshot file and mounted Secrets, both watched. `chaperone run` does it
 * from a folder of manifests.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { readIssuers } from './identity/read-issuers.ts';
import type { Log } from './pipeline.ts';
import { marksOf, watchFiles } from './policy/watch.ts';
import { parseListens, parsePort, parseWorkload, StartError } from './start/address.ts';
import { readLimits } from './start/limits.ts';
import { type OperatorSettings, readOperatorSettings, runWithOperator } from './start/operator.ts';
import { refuseUnknownListens, type Sidecar, startSidecar } from './start.ts';
import { lineWriter } from './telemetry/line-writer.ts';
import { createLog } from './telemetry/log.ts';
import { verdictJson } from './telemetry/verdict-line.ts';
import { readMountedSecrets } from './upstream/credentials/mounted.ts';

const OPTIONS = {
  snapshot: { type: 'string' },
  secrets: { type: 'string' },
  state: { type: 'string' },
  workload: { type: 'string' },
  listen: { type: 'string', multiple: true },
  issuers: { type: 'string' },
  'tls-cert': { type: 'string' },
  'tls-key': { type: 'string' },
  'metrics-port': { type: 'string' },
  'ttl-seconds': { type: 'string' },
  limit: { type: 'string', multiple: true },
} as const;
/** Put in by `npm run build`; not there in a source tree. */
declare const CHAPERONE_BUILD: { readonly version: string } | undefined;
/** As large as a snapshot may be. */
const MAX_SNAPSHOT_BYTES = 16 * 1024 * 1024;

const log = createLog({ stream: process.stderr, format: 'json', color: false });
try {
  const args = process.argv.slice(2);
  if (args.some((arg) => /^--operator(=|$)/.test(arg))) await cluster(readOperatorSettings(args));
  else await main(readSettings(args));
} catch (error) {
  log.error({}, error instanceof Error ? error.message : 'the sidecar could not start');
  process.exitCode = error instanceof StartError ? 2 : 1;
}

async function cluster(settings: OperatorSettings): Promise<void> {
  const lines = lineWriter(process.stdout, verdictJson);
  const version = typeof CHAPERONE_BUILD === 'undefined' ? 'source' : CHAPERONE_BUILD.version;
  try {
    await runWithOperator({ settings, version, log, onVerdict: lines.write, stop: signalled() });
  } finally {
    lines.flush();
  }
}

function signalled(): Promise<void> {
  return new Promise((done) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => done());
  });
}

async function main(settings: ReturnType<typeof readSettings>): Promise<void> {
  const { snapshotFile, secretsDir, options } = settings;
  const lines = lineWriter(process.stdout, verdictJson);
  const stop = signalled();
  const sidecar = await startSidecar({ ...options, log, onVerdict: lines.write });
  const load = () => publish(sidecar, snapshotFile, secretsDir, options.listen, log);
  try {
    // A snapshot that is not there yet, or is wrong, is no reason to end: everything is denied until a good one comes.
    await load();
    const watched = watchFiles({
      folders: [dirname(snapshotFile), ...(secretsDir === null ? [] : [secretsDir])],
      look: () =>
        new Map([
          ...marksOf(dirname(snapshotFile), 0, (name) => snapshotFile.endsWith(`/${name}`)),
          ...(secretsDir === null ? [] : marksOf(secretsDir, 2)),
        ]),
      onChange: () => void load(),
    });
    await stop;
    watched.close();
    await sidecar.drain();
  } finally {
    await sidecar.close();
    lines.flush();
  }
}

async function publish(
  sidecar: Sidecar,
  snapshotFile: string,
  secretsDir: string | null,
  listen: ReturnType<typeof parseListens>,
  to: Log,
): Promise<void> {
  try {
    const bytes = readFileSync(snapshotFile);
    if (bytes.length > MAX_SNAPSHOT_BYTES) throw new StartError(`${snapshotFile} is larger than 16 MiB`);
    const secrets = secretsDir === null ? { secrets: new Map(), worldReadable: [] } : readMountedSecrets(secretsDir);
    for (const file of secrets.worldReadable) to.warn({ file }, 'every user of this machine can read it');
    const snapshot: unknown = JSON.parse(bytes.toString('utf8'));
    const result = await sidecar.publish(snapshot, secrets.secrets);
    if (!result.ok) return to.error({ code: result.code, problems: result.problems }, 'the snapshot was refused: the last good one stays');
    for (const problem of result.problems) to.warn({}, problem);
    if (result.changed) to.info({ version: result.version, addresses: Object.fromEntries(sidecar.addresses) }, 'policy in force');
    refuseUnknownListens(
      listen,
      (snapshot as { readonly resources: readonly { readonly namespace: string; readonly name: string }[] }).resources,
    );
  } catch (error) {
    const message = error instanceof SyntaxError ? `${snapshotFile} is not JSON` : error instanceof Error ? error.message : 'unknown';
    to.error({ version: sidecar.version }, message);
  }
}

function readSettings(args: string[]) {
  const values = parsed(args);
  const needed = (name: 'snapshot' | 'state' | 'workload'): string => values[name] ?? fail(`--${name} is needed`);
  const { 'tls-cert': certificateFile, 'tls-key': keyFile, 'metrics-port': metrics, 'ttl-seconds': ttl, issuers, secrets } = values;
  if ((certificateFile === undefined) !== (keyFile === undefined)) fail('--tls-cert and --tls-key belong together');
  if (ttl !== undefined && !/^[1-9]\d{0,6}$/.test(ttl)) fail('--ttl-seconds: must be a number of seconds');
  return {
    snapshotFile: resolve(needed('snapshot')),
    secretsDir: secrets === undefined ? null : resolve(secrets),
    options: {
      state: resolve(needed('state')),
      workload: parseWorkload(needed('workload')),
      listen: parseListens(values.listen ?? []),
      issuers: issuers === undefined ? [] : readIssuers(readFileSync(issuers, 'utf8'), dirname(issuers)),
      ...(certificateFile === undefined || keyFile === undefined ? {} : { tls: { certificateFile, keyFile } }),
      ...(metrics === undefined ? {} : { metricsPort: parsePort('--metrics-port', metrics) }),
      limits: readLimits(values.limit ?? []),
      ...(ttl === undefined ? {} : { ttlMs: Number(ttl) * 1000 }),
    },
  };
}

function parsed(args: string[]) {
  try {
    return parseArgs({ args, options: OPTIONS, strict: true }).values;
  } catch (error) {
    return fail(error instanceof Error ? error.message : 'wrong use');
  }
}

function fail(message: string): never {
  throw new StartError(message);
}
