import type { MaskPolicy } from '#crds/policy/mask.ts';
import type { Analysis, SessionState } from '../../mask/postgres/analyse.ts';
import { forText } from '../../mask/postgres/analyse-build.ts';
import { isLike, type Template, templateOf } from '../../mask/postgres/analyse-template.ts';
import type { Catalog } from '../../mask/postgres/catalog.ts';
import { FRONTEND } from '../../wire/postgres/types.ts';
import type { PgSession } from './session.ts';

/** The one that was met last is compared first. */
const MAX_SHAPES = 32;

/** An analysis, and all that it went by. */
interface Known {
  readonly template: Template;
  readonly analysis: Analysis;
  readonly mask: MaskPolicy | null;
  readonly catalog: Catalog | null;
  readonly state: SessionState;
}

/**
 * The short way to the analysis of a simple Query that comes again with other integers: its bytes are compared with the shapes that this session
 * had, and it is neither cut into frames, nor checked, nor looked up as a text. It only finds what the long way would find: judging, recording and
 * sending are the same for both.
 */
export class KnownShapes {
  #known: Known[] = [];
  readonly #seen = new WeakSet<Analysis['statements']>();

  /** Of a chunk that is one whole Query of a known shape. Null: look at it the long way. */
  find(session: PgSession, chunk: Buffer): Analysis | null {
    const end = chunk.length;
    if (this.#known.length === 0 || end < 7 || chunk[0] !== FRONTEND.Query || chunk[end - 1] !== 0) return null;
    // A text of a shape is not longer than this.
    if (chunk[1] !== 0 || chunk[2] !== 0 || (((chunk[3] as number) << 8) | (chunk[4] as number)) !== end - 1) return null;
    const known = this.#knownLike(chunk, end - 1);
    if (known === null || !isStill(session, known)) return null;
    const text = chunk.toString('latin1', 5, end - 1);
    return forText(known.analysis, known.analysis.basis, text, text);
  }

  #knownLike(chunk: Buffer, end: number): Known | null {
    const all = this.#known;
    for (let i = 0; i < all.length; i++) {
      const known = all[i] as Known;
      if (!isLike(known.template, chunk, 5, end)) continue;
      if (i > 0) {
        all.splice(i, 1);
        all.unshift(known);
      }
      return known;
    }
    return null;
  }

  /** After the long way. Statements of one shape share one list; only a shape that came before is remembered. */
  learn(session: PgSession, analysis: Analysis): void {
    if (analysis.sent !== analysis.sql || analysis.refusal !== null || session.ddlOpen) return;
    if (!this.#seen.has(analysis.statements)) {
      this.#seen.add(analysis.statements);
      return;
    }
    const template = templateOf(analysis.sql);
    if (template === null) return;
    const bytes = Buffer.from(analysis.sql, 'latin1');
    // One of the same shape went by something that has changed.
    const others = this.#known.filter((known) => !isLike(known.template, bytes, 0, bytes.length));
    const { mask, state } = session;
    this.#known = [{ template, analysis, mask, catalog: session.parts.catalog.current(), state }, ...others.slice(0, MAX_SHAPES - 1)];
  }
}

/** The long way would ask the same catalog in the same state, without waiting for either. */
function isStill(session: PgSession, { mask, catalog, state }: Known): boolean {
  if (!session.namesReady || session.ddlOpen) return false;
  return session.mask === mask && session.state === state && session.parts.catalog.current() === catalog;
}
