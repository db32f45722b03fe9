/** Where our reading of a text and the server's differ. */
import type { MaskPolicy } from '#crds/policy/mask.ts';
import { type Analysis, newAnalyser } from '#sidecar/mask/postgres/analyse.ts';
import type { Catalog } from '#sidecar/mask/postgres/catalog.ts';
import { parseSql } from '#sidecar/wire/postgres/sql/parse.ts';
import type { Oracle, Parsed, Ran } from './server.ts';

export interface Difference {
  readonly text: string;
  readonly problem: string;
}

export interface Counts {
  texts: number;
  /** Both take it, both refuse it, and where they differ to the side of refusing. */
  bothTake: number;
  bothRefuse: number;
  weRefuse: number;
  /** Run in a transaction that may only read. */
  ran: number;
  /** Of these we had called a reading one. */
  reading: number;
}

const NO_MASKS: MaskPolicy = { active: false, column: () => null, detectors: [], functions: new Set(), key: 'none' };
const SYNTAX =
  /^(syntax error at|unterminated |invalid Unicode|unsafe use of|operator too long|zero-length delimited|trailing junk|bit string|hexadecimal string)/;
const SEVERAL = 'cannot insert multiple commands into a prepared statement';

/** Tags that a kind of statement may have. A kind that is not here says too little to compare. */
const TAGS: Readonly<Record<string, RegExp>> = {
  Select: /^(SELECT|CREATE TABLE AS)$/,
  Insert: /^INSERT$/,
  Update: /^UPDATE$/,
  Delete: /^DELETE$/,
  Merge: /^MERGE$/,
  Truncate: /^TRUNCATE TABLE$/,
  CopyFrom: /^COPY$/,
  CopyTo: /^COPY$/,
  Create: /^(CREATE |SELECT$|ALTER |IMPORT|SECURITY|DEFINE)/,
  Alter: /^(ALTER |REASSIGN|REFRESH|REINDEX)/,
  Drop: /^DROP /,
  Grant: /^(GRANT|ALTER DEFAULT PRIVILEGES)/,
  Revoke: /^(REVOKE|ALTER DEFAULT PRIVILEGES)/,
  Comment: /^COMMENT$/,
  Set: /^(SET|RESET|SET CONSTRAINTS|DISCARD.*)$/,
  Show: /^SHOW$/,
  Explain: /^EXPLAIN$/,
  Prepare: /^PREPARE$/,
  Deallocate: /^(DEALLOCATE|DEALLOCATE ALL)$/,
  Cursor: /^(DECLARE CURSOR|FETCH|MOVE|CLOSE CURSOR|CLOSE CURSOR ALL)$/,
  Lock: /^LOCK TABLE$/,
  Listen: /^(LISTEN|UNLISTEN|NOTIFY)$/,
  Call: /^CALL$/,
  Do: /^DO$/,
};

export class Comparison {
  readonly #oracle: Oracle;
  readonly #catalog: Catalog;
  readonly #major: number;
  readonly #database: string;
  readonly #analyse = newAnalyser();
  readonly differences: Difference[] = [];
  readonly counts: Counts = { texts: 0, bothTake: 0, bothRefuse: 0, weRefuse: 0, ran: 0, reading: 0 };

  constructor(oracle: Oracle, catalog: Catalog, major: number, database: string) {
    this.#oracle = oracle;
    this.#catalog = catalog;
    this.#major = major;
    this.#database = database;
  }

  async look(text: string): Promise<void> {
    this.counts.texts++;
    if (text.includes('\0')) return;
    const parsed = await this.#oracle.parse(text);
    this.#tell(text, this.#ofParse(text, parsed));
    const analysis = this.#analysed(text);
    if (analysis.refusal?.code === 'Unparsable') return;
    // What ends the transaction would be run outside of it, and what waits is not worth its time.
    if (analysis.statements.length === 0 || analysis.statements.some(({ kinds }) => kinds.includes('Transaction'))) return;
    if (/sleep|advisory|terminate|cancel_backend/i.test(text)) return;
    this.counts.ran++;
    const reads = analysis.statements.every(({ access }) => access === 'Read');
    const noWrite = analysis.statements.every(({ effects }) => effects.length === 0);
    if (reads) this.counts.reading++;
    const readOnly = await this.#oracle.run(text, 'READ ONLY');
    this.#tell(text, whatItDid(readOnly, reads, noWrite) ?? whichItWas(readOnly, analysis));
    if (!reads && !noWrite) return;
    const readWrite = await this.#oracle.run(text, 'READ WRITE');
    if (readWrite.wrote === true) this.#tell(text, `we call it ${reads ? 'reading' : 'without effects'}, and it took a transaction number`);
  }

  #analysed(sql: string): Analysis {
    const state = { searchPath: ['pg_catalog', 'public'], user: 'app', database: this.#database };
    return this.#analyse({ sql, catalog: this.#catalog, state, mask: NO_MASKS, prepared: () => undefined, cursor: () => undefined });
  }

  #tell(text: string, problem: string | null): void {
    if (problem !== null) this.differences.push({ text, problem });
  }

  #ofParse(text: string, { sqlstate, message }: Parsed): string | null {
    const ours = parseSql(text);
    const syntax = sqlstate !== null && SYNTAX.test(message);
    if (!ours.ok) {
      if (sqlstate === null) this.counts.weRefuse++;
      else this.counts.bothRefuse++;
      return null;
    }
    // The parser's grammar is the newest: an older server may refuse what is newer, and that is told to the client.
    if (syntax && this.#major >= 18) return `the server refuses what we take: ${message}`;
    if (syntax) {
      this.counts.bothRefuse++;
      return null;
    }
    this.counts.bothTake++;
    const several = ours.statements.length > 1;
    if (several !== (message === SEVERAL))
      return `we count ${ours.statements.length} statements, the server says: ${sqlstate ?? 'one'} ${message}`;
    return null;
  }
}

/** A statement that writes is refused in a transaction that may only read (25006). */
function whatItDid({ sqlstates, wrote }: Ran, reads: boolean, noWrite: boolean): string | null {
  const writes = sqlstates.includes('25006') || wrote === true;
  if (writes && reads) return 'we call it reading, and the server says that it writes';
  if (writes && noWrite) return 'we see no effect, and the server says that it writes';
  return null;
}

function whichItWas({ tags, sqlstates }: Ran, { statements }: Analysis): string | null {
  if (sqlstates.length > 0) return null;
  if (tags.length !== statements.length) return `we see ${statements.length} statements, the server ran ${tags.length}: ${tags.join(', ')}`;
  for (const [index, { kind }] of statements.entries()) {
    const expected = TAGS[kind];
    if (expected !== undefined && !expected.test(tags[index] ?? '')) return `we call it ${kind}, the server ${tags[index]}`;
  }
  return null;
}
