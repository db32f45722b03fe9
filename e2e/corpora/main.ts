/**
 * `npm run corpus`: statements that must not leak, must not change, must be blocked, and bytes of the protocol, against real servers.
 * `-- --cases DIR` takes the files of the corpora's names from another folder, `--only REGEX` the cases whose id matches, `--set NAME` one set;
 * `--twin` compares two databases that differ only in their secrets as well, `--assurance A` takes from the role what it must not read.
 * `--postgres 18` takes the embedded server: what needs a module that it lacks is left out, and counted.
 * `--strategy Token` or `FormatPreserving` masks the columns so, in place of Redact.
 * `--without-sidecar` attacks the server itself: every masking case has to leak there.
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { runBlocking } from './blocking.ts';
import type { CaseResult, MaskingOptions } from './case.ts';
import { runControls, runMasking } from './masking.ts';
import { runProtocol } from './protocol.ts';

const STRATEGIES = ['Redact', 'Token', 'FormatPreserving'] as const;

/** How a set is run, and in which order. */
const SETS: Readonly<Record<string, (options: MaskingOptions) => AsyncGenerator<CaseResult>>> = {
  masking: runMasking,
  controls: runControls,
  blocking: runBlocking,
  protocol: runProtocol,
};
const PREDICATES = { strict: 'Strict', sourcemasked: 'SourceMasked', permissive: 'Permissive' } as const;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      cases: { type: 'string', default: import.meta.dirname },
      only: { type: 'string' },
      set: { type: 'string' },
      twin: { type: 'boolean', default: false },
      assurance: { type: 'string', default: 'B' },
      postgres: { type: 'string', default: '15' },
      predicates: { type: 'string', default: 'strict' },
      strategy: { type: 'string', default: 'Redact' },
      'without-sidecar': { type: 'boolean', default: false },
    },
  });
  const predicates = PREDICATES[values.predicates.toLowerCase() as keyof typeof PREDICATES];
  const { assurance, set } = values;
  if (assurance !== 'A' && assurance !== 'B') return wrong('--assurance is A or B');
  if (values.postgres !== '15' && values.postgres !== '18') return wrong('--postgres is 15 or 18');
  const strategy = STRATEGIES.find((one) => one.toLowerCase() === values.strategy.toLowerCase());
  if (strategy === undefined) return wrong(`--strategy is one of ${STRATEGIES.join(', ')}`);
  if (predicates === undefined) return wrong('--predicates is strict, sourceMasked or permissive');
  if (set !== undefined && !Object.hasOwn(SETS, set)) return wrong(`--set is one of ${Object.keys(SETS).join(', ')}`);
  const only = values.only === undefined ? null : new RegExp(values.only);
  const options: MaskingOptions = {
    cases: resolve(values.cases),
    only,
    postgres: values.postgres === '15' ? 15 : 18,
    twin: values.twin,
    assurance,
    predicates,
    strategy,
    withoutSidecar: values['without-sidecar'],
  };
  let passed = 0;
  let failed = 0;
  for (const [name, run] of Object.entries(SETS).filter(([name]) => set === undefined || set === name)) {
    const told = await runAndTell(name, run(options));
    passed += told.passed;
    failed += told.failed;
  }
  say(`${passed} passed, ${failed} failed`);
  return failed > 0 || passed === 0 ? 1 : 0;
}

async function runAndTell(
  name: string,
  results: AsyncGenerator<CaseResult>,
): Promise<{ readonly passed: number; readonly failed: number }> {
  const started = Date.now();
  const counts = new Map<string, { passed: number; failed: number }>();
  let leftOut = 0;
  for await (const { id, category, problem, ...result } of results) {
    if (result.leftOut === true) {
      leftOut++;
      continue;
    }
    const count = counts.get(category) ?? { passed: 0, failed: 0 };
    counts.set(category, count);
    if (problem === null) count.passed++;
    else {
      count.failed++;
      say(`  ${id}: ${problem}`);
    }
  }
  const sum = (which: 'passed' | 'failed') => [...counts.values()].reduce((total, count) => total + count[which], 0);
  const [passed, failed] = [sum('passed'), sum('failed')];
  const missed = [...counts]
    .filter(([, count]) => count.failed > 0)
    .map(([category, count]) => `${category} ${count.failed} of ${count.passed + count.failed}`);
  say(
    `${name}: ${passed} passed, ${failed} failed${leftOut > 0 ? `, ${leftOut} left out: the server lacks their module` : ''}${missed.length > 0 ? ` (${missed.join(', ')})` : ''} in ${Math.round((Date.now() - started) / 1000)} s`,
  );
  return { passed, failed };
}

function wrong(message: string): number {
  process.stderr.write(`${message}\n`);
  return 2;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

process.exitCode = await main();
