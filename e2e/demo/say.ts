import { styleText } from 'node:util';

const colour = process.stdout.isTTY;
const paint = (style: Parameters<typeof styleText>[0], text: string) => (colour ? styleText(style, text) : text);

let step = 0;

export function heading(text: string): void {
  step++;
  console.log(`\n${paint('bold', `${step}. ${text}`)}`);
}

export function line(text: string): void {
  console.log(`   ${text}`);
}

export function typed(text: string): void {
  console.log(`   ${paint('cyan', `$ ${text}`)}`);
}

export function sql(text: string): void {
  console.log(`   ${paint('cyan', `shop=> ${text}`)}`);
}

/** What the sidecar prints meanwhile. */
export function aside(text: string): void {
  console.log(`   ${paint('gray', `sidecar | ${text}`)}`);
}

export function block(text: string): void {
  for (const row of text.trimEnd().split('\n')) line(row);
}

export function table(rows: readonly Record<string, unknown>[]): void {
  const [first] = rows;
  if (first === undefined) return line('(no rows)');
  const names = Object.keys(first);
  const width = names.map((name) => Math.max(name.length, ...rows.map((row) => cell(row[name]).length)));
  const format = (cells: readonly string[]) => cells.map((cell, i) => cell.padEnd(width[i] ?? 0)).join(' | ');
  line(format(names));
  line(width.map((n) => '-'.repeat(n)).join('-+-'));
  for (const row of rows) line(format(names.map((name) => cell(row[name]))));
}

function cell(value: unknown): string {
  if (value === null || value === undefined) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

let shown = 0;
const failures: string[] = [];

/** A step's claim: printed, and counted against the exit code where it does not hold. */
export function check(claim: string, holds: boolean): void {
  shown++;
  if (!holds) failures.push(claim);
  line(holds ? paint('green', `✓ ${claim}`) : paint('red', `✗ ${claim}`));
}

export function verdict(): number {
  console.log('');
  if (failures.length === 0) {
    console.log(paint(['bold', 'green'], `All ${shown} claims of the demo held.`));
    return 0;
  }
  console.log(paint(['bold', 'red'], `${failures.length} of ${shown} claims did not hold:`));
  for (const failure of failures) console.log(`  ✗ ${failure}`);
  return 1;
}
