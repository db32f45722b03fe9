import { randomInt } from 'node:crypto';

/** No vowels and nothing that is read for something else: names are read aloud and typed. */
const LETTERS = '23456789bcdfghjkmnpqrstvwxz';

/** `apr-` and six characters. A name is no secret: a decision needs a token. */
export function newName(isTaken: (name: string) => boolean): string {
  for (;;) {
    const name = `apr-${Array.from({ length: 6 }, () => LETTERS[randomInt(LETTERS.length)]).join('')}`;
    if (!isTaken(name)) return name;
  }
}
