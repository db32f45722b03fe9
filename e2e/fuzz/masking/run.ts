/** Plays statements against both twins: what comes back must be the same, and hold no secret. */
import * as bytes from '../../corpora/bytes.ts';
import { Connection } from '../../corpora/connection.ts';
import { ACCOUNTS } from '../../corpora/databases.ts';
import { sendStep } from '../../corpora/steps.ts';
import { differenceOf, errorsOf, linesOf, secretsIn, type Transcript } from '../../corpora/transcript.ts';
import { Dice } from '../mutate.ts';
import { Grammar } from './queries.ts';
import { SECRETS, SECRETS_HEX } from './schema.ts';
import { type Sent, statement } from './statements.ts';
import type { Mode, Side, Twins } from './twins.ts';

export interface Leak {
  readonly sent: Sent;
  readonly mode: Mode;
  readonly problem: string;
}

export interface Tally {
  /** How many statements were played. */
  played: number;
  /** Of these we refused none of the messages. */
  allowed: number;
  /** Of these the server had no error either. */
  answered: number;
  readonly leaks: Leak[];
  /** Why there was an error, ours or the server's, by how often. */
  readonly errors: Map<string, number>;
}

const REFUSED = /^\w{5} chaperone: /;

export class MaskingFuzz {
  readonly #twins: Twins;
  readonly #dice: Dice;
  readonly #grammar: Grammar;
  readonly #open = new Map<string, Connection>();
  readonly tally: Tally = { played: 0, allowed: 0, answered: 0, leaks: [], errors: new Map() };

  constructor(twins: Twins, seed: number) {
    this.#twins = twins;
    this.#dice = new Dice(seed);
    this.#grammar = new Grammar(this.#dice, twins.functions);
  }

  /** Makes one statement and plays it. */
  async next(): Promise<void> {
    const sent = statement(this.#grammar);
    await this.play(sent, this.#dice.roll(4) === 0 ? 'Strict' : 'SourceMasked');
  }

  async play(sent: Sent, mode: Mode): Promise<void> {
    const { tally } = this;
    tally.played++;
    const left = await this.#transcript('left', mode, sent);
    const right = await this.#transcript('right', mode, sent);
    const problem = await this.#problemOf(left, right, sent, mode);
    if (problem !== null) tally.leaks.push({ sent, mode, problem });
    const errors = errorsOf(left);
    const refusal = errors.find((error) => REFUSED.test(error));
    if (refusal === undefined) tally.allowed++;
    if (errors.length === 0) tally.answered++;
    const shape = shapeOf(refusal ?? errors[0] ?? '');
    if (shape !== '') tally.errors.set(shape, (tally.errors.get(shape) ?? 0) + 1);
  }

  async #problemOf(left: Transcript, right: Transcript, sent: Sent, mode: Mode): Promise<string | null> {
    const secrets = [left, right].flatMap((side) => secretsIn(side, SECRETS, SECRETS_HEX));
    if (secrets.length > 0) return `shows ${[...new Set(secrets)].join(', ')}`;
    // On a busy machine an answer may be late once.
    if (left.hangs || right.hangs) return (await this.#transcript('left', mode, sent)).hangs ? 'hangs' : null;
    const difference = differenceOf(linesOf(left), linesOf(right));
    if (difference === null) return null;
    // What differs from run to run by itself tells nothing; what is like any run of the other is like it.
    const again = await this.#transcript('left', mode, sent);
    const rightAgain = await this.#transcript('right', mode, sent);
    const same = [left, again].some((one) => [right, rightAgain].some((other) => differenceOf(linesOf(one), linesOf(other)) === null));
    if (same) return null;
    if (differenceOf(linesOf(left), linesOf(again)) !== null) return `differs from run to run: ${difference}`;
    return `twins differ: ${difference}`;
  }

  async #transcript(side: Side, mode: Mode, { steps }: Sent): Promise<Transcript> {
    const startedMs = Date.now();
    const connection = await this.#connection(side, mode);
    const from = connection.messages.length;
    let hangs = false;
    for (const step of steps) {
      if (await sendStep(connection, step, async () => 0)) continue;
      hangs = true;
      break;
    }
    const messages = connection.messages.splice(from);
    if (hangs) connection.end();
    const state = messages.findLast(({ type }) => type === 'Z')?.body.toString('latin1');
    if (hangs || connection.closed) this.#open.delete(`${side} ${mode}`);
    else if (state !== 'I') await connection.round([bytes.query('ROLLBACK')]);
    connection.messages.length = 0;
    return { messages, hangs, tookMs: Date.now() - startedMs };
  }

  async #connection(side: Side, mode: Mode): Promise<Connection> {
    const key = `${side} ${mode}`;
    const known = this.#open.get(key);
    if (known !== undefined && !known.closed) return known;
    const opened = await Connection.open(this.#twins.portOf(side, mode), ACCOUNTS.app, side, { application_name: 'fuzz' });
    opened.messages.length = 0;
    this.#open.set(key, opened);
    return opened;
  }

  end(): void {
    for (const connection of this.#open.values()) connection.end();
    this.#open.clear();
  }
}

/** Without the names in it. */
function shapeOf(error: string): string {
  return error.replace(/"[^"]*"|[\w.]*[._\d][\w.]*/g, '…').slice(0, 120);
}
