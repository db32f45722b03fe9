import { randomInt } from 'node:crypto';
import { NAME_LETTERS } from '#crds/control/approvals.ts';

/** `apr-` and six characters. A name is no secret: a decision needs a token. */
export function newName(isTaken: (name: string) => boolean): string {
  for (;;) {
    const name = `apr-${Array.from({ length: 6 }, () => NAME_LETTERS[randomInt(NAME_LETTERS.length)]).join('')}`;
    if (!isTaken(name)) return name;
  }
}
