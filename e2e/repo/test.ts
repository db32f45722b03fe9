/** `npm test`: every test that needs nothing but the locked dependencies. `-- crds e2e/clients/psql.test.ts` runs only those. Options go on to Node. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { ALL_TESTS, testFiles } from './test-files.ts';
import { ROOT } from './tree.ts';

const args = process.argv.slice(2);
const folders = args.filter((arg) => !arg.startsWith('-'));
const files = await testFiles(folders.length > 0 ? folders : ALL_TESTS);
if (files.length === 0) {
  process.stderr.write(`no tests in ${folders.join(', ')}\n`);
  process.exitCode = 2;
} else {
  const options = ['--test', '--test-concurrency=2', '--test-timeout=180000', ...args.filter((arg) => arg.startsWith('-'))];
  const child = spawn(process.execPath, [...options, ...files], { cwd: ROOT, stdio: 'inherit' });
  const [code] = (await once(child, 'exit')) as [number | null];
  process.exitCode = code ?? 1;
}
