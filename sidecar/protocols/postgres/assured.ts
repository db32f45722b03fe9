import type { SessionAssurance } from '#crds/policy/assurance.ts';
import type { MaskPolicy } from '#crds/policy/mask.ts';
import { sessionAssurance } from '../../mask/postgres/assurance.ts';
import type { Catalog } from '../../mask/postgres/catalog.ts';
import type { PgSession } from './session.ts';

/** Of what a recording and a status hold: the first columns that lower it. */
const MAX_LOWERED_BY = 20;

/** The assurance of one session as it is now: found before its first statement is judged, and again where masks or catalog changed. */
export class Assured {
  #mask: MaskPolicy | null = null;
  #catalog: Catalog | null = null;
  #found: SessionAssurance | undefined;
  #told = '';

  /** Undefined where it is not known. While the catalog can't be had, what was found by the last one stands: names are not resolved then anyway. */
  now(session: PgSession): SessionAssurance | undefined {
    const { mask } = session;
    if (mask === null) return undefined;
    const catalog = mask.active ? session.parts.catalog.current() : null;
    if (mask === this.#mask && (catalog === this.#catalog || catalog === null)) return this.#found;
    this.#found = sessionAssurance(catalog, mask);
    this.#mask = mask;
    this.#catalog = catalog;
    // Where there is no rule there is nothing to tell of.
    if (this.#found !== undefined && mask.active) this.#tell(session, this.#found);
    return this.#found;
  }

  #tell(session: PgSession, found: SessionAssurance): void {
    const { level, loweredBy } = found;
    const text = JSON.stringify([level, loweredBy]);
    if (text === this.#told) return;
    this.#told = text;
    const { recorder, context, connection } = session.parts;
    const why =
      loweredBy.length === 0
        ? ''
        : `: ${loweredBy.slice(0, 3).join('; ')}${loweredBy.length > 3 ? `; and ${loweredBy.length - 3} more` : ''}`;
    recorder.event({
      type: 'note',
      code: 'Assurance',
      message: `the session has assurance ${level}${why}`,
      data: { level, loweredBy: loweredBy.slice(0, MAX_LOWERED_BY), columns: loweredBy.length },
    });
    context.assurances?.set(recorder.session, connection.resource, { level, loweredBy: loweredBy.slice(0, MAX_LOWERED_BY) });
  }
}
