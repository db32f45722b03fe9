import { styleText } from 'node:util';
import type { Decision, Verdict } from '#crds/policy/verdict.ts';
import type { VerdictLine } from '../pipeline.ts';
import { clock } from './log.ts';
import { printable, scrub } from './scrub.ts';

const WORDS = { Allow: 'ALLOW', Deny: 'DENY', Hold: 'HOLD' } as const satisfies Record<Decision, string>;
const STYLES = { Allow: 'green', Deny: 'red', Hold: 'yellow' } as const satisfies Record<Decision, string>;
const MAX_SUMMARY = 160;

/** For the person who watches: time, verdict, resource, who, what (tokenised), and which rule said so. One printable line. */
export function verdictText(line: VerdictLine, color: boolean): string {
  const paint = (style: 'dim' | 'green' | 'red' | 'yellow' | 'bold', text: string) =>
    color ? styleText(style, text, { validateStream: false }) : text;
  const { verdict, resource } = line;
  const word = paint(STYLES[verdict.decision], WORDS[verdict.decision].padEnd(5));
  const time = paint('dim', clock(line.time));
  const who = paint('bold', shown(line.who));
  const author = paint('dim', `← ${rememberedAuthor(line)}`);
  return `${time}  ${word}  ${resource.namespace}/${resource.name}  ${who}  ${shown(line.summary)}  ${author}\n`;
}

/** Policy has one verdict for each rule, and gives it again and again. */
const authors = new WeakMap<Verdict, string>();

function rememberedAuthor(line: VerdictLine): string {
  const known = authors.get(line.verdict);
  if (known !== undefined) return known;
  const text = authorText(line);
  authors.set(line.verdict, text);
  return text;
}

function authorText({ verdict }: VerdictLine): string {
  const author = verdict.authors[0];
  if (author === undefined) return verdict.code;
  if (author.kind === 'Chaperone') return `${verdict.code} (${shown(author.rule)})`;
  const more = verdict.authors.length > 1 ? ` +${verdict.authors.length - 1}` : '';
  return `${author.namespace}/${author.name} ${shown(author.rule)}${more} (${verdict.code})`;
}

/** Printable words with one space between, and nothing that `scrub` looks for: nearly all texts, and nothing is to be done to them. */
const PLAIN = /^[!-~]+(?: [!-~]+)*$/;
const SUSPECT = /eyJ|bearer|basic|:\/\//i;

function shown(text: string): string {
  if (text.length <= MAX_SUMMARY && PLAIN.test(text) && !SUSPECT.test(text)) return text;
  const one = printable(scrub(text.replace(/\s+/g, ' ').trim()));
  return one.length > MAX_SUMMARY ? `${one.slice(0, MAX_SUMMARY - 1)}…` : one;
}

/** The same as JSON, for `-o json`. */
export function verdictJson(line: VerdictLine): string {
  const { time, verdict, ...rest } = line;
  return scrub(`${JSON.stringify({ time: new Date(time).toISOString(), ...rest, ...verdict })}\n`);
}
