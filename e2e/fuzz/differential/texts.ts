/** SQL texts: those of the corpora, those of the grammar, and both with changes. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ServerFunction } from '../masking/expressions.ts';
import { Grammar } from '../masking/queries.ts';
import { statement } from '../masking/statements.ts';
import type { Dice } from '../mutate.ts';

const CORPORA = join(import.meta.dirname, '../../corpora');
const FILES = ['pg-masking-corpus.jsonl', 'pg-masking-controls.jsonl', 'pg-blocking-corpus.jsonl'];

/** Of all that have a meaning for the lexer, some; and words that begin what a policy is about. */
const PIECES =
  "; -- /* */ ' '' \" $$ $a$ E' U&' U&\" B' X' N' \\' \\\\ ( ) [ ] , . :: := => $1 1e5 0x1F 1_000 .5 \u00a0 \u200b é \t \n \r \f \v NULL ONLY INTO FOR UPDATE DELETE FROM customers DROP TABLE SELECT WITH EXPLAIN ANALYZE PREPARE p AS EXECUTE COPY TO PROGRAM DO CALL SET ROLE BEGIN COMMIT GRANT TRUNCATE RETURNING UESCAPE OPERATOR( + @ # ? | & < > = ~ ! % ^ `".split(
    ' ',
  );

export async function corpusTexts(): Promise<readonly string[]> {
  const texts = new Set<string>();
  for (const file of FILES) {
    for (const line of (await readFile(join(CORPORA, file), 'utf8')).split('\n')) if (line.trim() !== '') collect(JSON.parse(line), texts);
  }
  return [...texts].sort();
}

/** Whatever stands under a name that holds SQL. */
function collect(value: unknown, texts: Set<string>): void {
  if (Array.isArray(value)) for (const item of value) collect(item, texts);
  if (typeof value !== 'object' || value === null) return;
  for (const [name, inner] of Object.entries(value)) {
    if (typeof inner === 'string' && ['sql', 'q', 'ext'].includes(name)) texts.add(inner);
    else collect(inner, texts);
  }
}

export class Texts {
  readonly #dice: Dice;
  readonly #grammar: Grammar;
  readonly #known: readonly string[];

  constructor(dice: Dice, functions: readonly ServerFunction[], known: readonly string[]) {
    this.#dice = dice;
    this.#grammar = new Grammar(dice, functions);
    this.#known = known;
  }

  next(): string {
    const dice = this.#dice;
    switch (dice.roll(4)) {
      case 0:
        return dice.pick(this.#known);
      case 1:
        return statement(this.#grammar).sql;
      case 2:
        return this.#changed(dice.pick(this.#known));
      default:
        return this.#changed(this.#grammar.select(1));
    }
  }

  /** One to three pieces put in, taken out, or brought from another text. */
  #changed(text: string): string {
    const dice = this.#dice;
    let out = text;
    for (let left = 1 + dice.roll(3); left > 0; left--) {
      const at = dice.roll(out.length + 1);
      const size = dice.roll(12);
      const other = dice.pick(this.#known);
      const from = dice.roll(other.length + 1);
      const put = [dice.pick(PIECES), ` ${dice.pick(PIECES)} `, other.slice(from, from + 20), ''][dice.roll(4)] ?? '';
      out = out.slice(0, at) + put + out.slice(dice.roll(2) === 0 ? at : at + size);
    }
    return out.isWellFormed() ? out : text;
  }
}
