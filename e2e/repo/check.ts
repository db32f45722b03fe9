/** `npm run check`: everything that needs no database server. `-- lint types` runs only those; `-- --no-tests` leaves the unit tests out, `-- format --write` mends the format. */
import { runSteps, type Step } from './steps.ts';
import { testFiles, UNIT_TESTS } from './test-files.ts';

const STEPS: readonly Step[] = [
  { name: 'types', command: ['tsc', '-p', '.', '--incremental', '--tsBuildInfoFile', 'node_modules/.cache/types.tsbuildinfo'] },
  { name: 'types of the contract', command: ['tsc', '-p', 'crds'] },
  { name: 'lint', command: ['oxlint', '--deny-warnings'] },
  { name: 'format', command: ['biome', 'check', ...(process.argv.includes('--write') ? ['--write'] : [])] },
  { name: 'dead code', command: ['knip', '--no-progress', '--no-config-hints'] },
  { name: 'import table', command: ['node', '--test', 'e2e/repo/import-table.test.ts', 'e2e/repo/file-size.test.ts'] },
  { name: 'generated files', command: ['node', 'crds/generate.ts', '--check'] },
  { name: 'generated protocol', command: ['node', 'crds/generate-proto.ts', '--check'] },
  { name: 'generated charts', command: ['node', 'charts/generate.ts', '--check'] },
  { name: 'unit tests', command: ['node', '--test', '--test-concurrency=2', '--test-timeout=120000', ...(await testFiles(UNIT_TESTS))] },
];

const wanted = process.argv.slice(2).filter((arg) => !arg.startsWith('-'));
const withTests = !process.argv.includes('--no-tests');
const known = new Set(STEPS.map(({ name }) => name));
const unknown = wanted.filter((name) => !known.has(name));
if (unknown.length > 0) {
  process.stderr.write(`no such step: ${unknown.join(', ')}; there are ${[...known].join(', ')}\n`);
  process.exitCode = 2;
} else {
  const steps = STEPS.filter(({ name }) => (wanted.length === 0 || wanted.includes(name)) && (withTests || name !== 'unit tests'));
  process.exitCode = (await runSteps(steps)) === 0 ? 0 : 1;
}
