/** `npm run fuzz -- --target masking`: as many statements as there is time for. What leaks is kept, and played by `npm test` for ever. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { hasPostgres } from '../../postgres/server.ts';
import { type Leak, MaskingFuzz, type Tally } from './run.ts';
import type { Sent } from './statements.ts';
import { type Mode, startTwins } from './twins.ts';

const FINDINGS = join(import.meta.dirname, '../corpus/findings/masking.jsonl');

/** How many leaked. */
export async function fuzzMasking(seed: number, forMs: number): Promise<number> {
  const twins = await startTwins(hasPostgres(15) ? 15 : 18);
  try {
    const fuzz = new MaskingFuzz(twins, seed);
    const deadline = Date.now() + forMs;
    while (Date.now() < deadline) await fuzz.next();
    fuzz.end();
    process.stdout.write(`masking: ${wordsOf(fuzz.tally)}\n`);
    for (const [error, count] of [...fuzz.tally.errors].sort((a, b) => b[1] - a[1]).slice(0, 12))
      process.stdout.write(`  ${count} ${error}\n`);
    for (const { problem, sent } of fuzz.tally.leaks) process.stdout.write(`  ${problem}\n    ${sent.sql}\n`);
    await keep(fuzz.tally.leaks);
    return fuzz.tally.leaks.length;
  } finally {
    await twins.stop();
  }
}

export function wordsOf({ played, allowed, answered, leaks }: Tally): string {
  const share = (count: number): string => `${Math.round((100 * count) / Math.max(1, played))} %`;
  return `${played} statements, ${share(allowed)} not refused by us, ${share(answered)} answered without any error, ${leaks.length} leaks`;
}

export async function readLeaks(): Promise<readonly { readonly sent: Sent; readonly mode: Mode }[]> {
  const text = await readFile(FINDINGS, 'utf8').catch(() => '');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Leak);
}

async function keep(leaks: readonly Leak[]): Promise<void> {
  if (leaks.length === 0) return;
  const lines = [...(await readLeaks()), ...leaks.map(({ sent, mode }) => ({ sent, mode }))].map((leak) => JSON.stringify(leak));
  await mkdir(dirname(FINDINGS), { recursive: true });
  await writeFile(FINDINGS, `${[...new Set(lines)].join('\n')}\n`);
}
