/** Inputs that are kept: each ran code that no other did, or broke something once. */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const FOLDER = join(import.meta.dirname, 'corpus');

/** A line of hex digits each, in one file a target. */
export async function readCorpus(target: string): Promise<Buffer[]> {
  const text = await readFile(join(FOLDER, `${target}.hex`), 'utf8').catch(() => '');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => Buffer.from(line, 'hex'));
}

export async function writeCorpus(target: string, inputs: readonly Buffer[]): Promise<void> {
  await mkdir(FOLDER, { recursive: true });
  const lines = [...new Set(inputs.map((input) => input.toString('hex')))].sort();
  await writeFile(join(FOLDER, `${target}.hex`), `${lines.join('\n')}\n`);
}

/** Inputs that broke an invariant, by target; `npm test` runs them for ever. */
export async function readFindings(): Promise<{ readonly target: string; readonly input: Buffer }[]> {
  const names = (await readdir(join(FOLDER, 'findings')).catch((): string[] => [])).toSorted();
  return Promise.all(
    names.map(async (name) => ({
      target: name.split('-')[0] ?? '',
      input: Buffer.from((await readFile(join(FOLDER, 'findings', name), 'utf8')).trim(), 'hex'),
    })),
  );
}

export async function writeFinding(target: string, input: Buffer): Promise<string> {
  const name = `${target}-${createHash('sha256').update(input).digest('hex').slice(0, 16)}.hex`;
  await mkdir(join(FOLDER, 'findings'), { recursive: true });
  await writeFile(join(FOLDER, 'findings', name), `${input.toString('hex')}\n`);
  return name;
}
