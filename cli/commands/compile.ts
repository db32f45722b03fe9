import { createHash } from 'node:crypto';
import { canonicalJson } from '#crds/policy/json.ts';
import { snapshotVersion } from '#crds/policy/load.ts';
import { parseWorkload } from '#sidecar/start/address.ts';
import { EXIT } from '../exit.ts';
import { problemText } from '../folder/objects.ts';
import { loadFolder } from '../folder/source.ts';
import type { Io } from '../io.ts';
import { type Common, parsing } from '../options.ts';

export interface CompileOptions extends Common {
  readonly workload: string;
}

/** Prints one workload's snapshot as canonical JSON (what `sidecar` runs from), and its version on stderr. */
export async function compile(dir: string, options: CompileOptions, io: Io): Promise<number> {
  const workload = parsing(() => parseWorkload(options.workload));
  const read = loadFolder({ manifests: dir, workload });
  if (!read.ok) {
    for (const problem of read.problems) io.stderr.write(`${problemText(problem)}\n`);
    return EXIT.failed;
  }
  const { snapshot } = read.state;
  const version = snapshotVersion(snapshot, (bytes) => createHash('sha256').update(bytes).digest('hex'));
  for (const warning of read.state.warnings) io.stderr.write(`warning: ${problemText(warning)}\n`);
  if (options.output === 'json') io.stdout.write(`${canonicalJson({ version, snapshot })}\n`);
  else {
    io.stderr.write(`${version}\n`);
    io.stdout.write(`${canonicalJson(snapshot)}\n`);
  }
  return EXIT.ok;
}
