import { EXIT } from '../exit.ts';
import type { FileProblem } from '../folder/documents.ts';
import { problemText } from '../folder/objects.ts';
import { loadFolder } from '../folder/source.ts';
import type { Io } from '../io.ts';
import type { Common } from '../options.ts';

/** Nobody in particular: what is wrong with a manifest is the same for every workload. */
const ANYBODY = { namespace: 'default', serviceAccount: 'default' };

/** Prints problems and warnings as `file:line: field: message`. 1 where there is a problem. */
export async function validate(dir: string, options: Common, io: Io): Promise<number> {
  const read = loadFolder({ manifests: dir, workload: ANYBODY });
  const problems = read.ok ? [] : read.problems;
  const warnings = read.ok ? read.state.warnings : read.warnings;
  if (options.output === 'json') io.stdout.write(`${JSON.stringify({ valid: read.ok, problems, warnings })}\n`);
  else io.stdout.write(report(problems, warnings, read.ok ? read.state.objects.length : null));
  return read.ok ? EXIT.ok : EXIT.failed;
}

function report(problems: readonly FileProblem[], warnings: readonly FileProblem[], objects: number | null): string {
  const lines = [...warnings.map((warning) => `warning: ${problemText(warning)}`), ...problems.map(problemText)];
  const end = objects === null ? `${problems.length} ${problems.length === 1 ? 'problem' : 'problems'}` : `${objects} objects, all valid`;
  return [...lines, end].map((line) => `${line}\n`).join('');
}
