/** Where the suite's output differs through the sidecar, and why it is to. What stands here and no longer differs fails the run, like what differs and does not stand here. */
export interface ByDesign {
  readonly file: string;
  /** The lines of psql's output from the one that begins so, up to the one that begins with `to`. Without it all of the file. */
  readonly from?: string;
  readonly to?: string;
  readonly why: string;
}

const STRINGS = 'standard_conforming_strings can not be changed: the parser reads strings by it';
const FUNCTION_CALL = "libpq's functions for large objects use the message FunctionCall, which is refused";
const GRAMMAR = 'a syntax error is told in the words of PostgreSQL 18, whose grammar the parser has';

export const BY_DESIGN: readonly ByDesign[] = [
  { file: 'strings', from: 'SET standard_conforming_strings TO off;', to: 'RESET standard_conforming_strings;', why: STRINGS },
  // It reads what follows otherwise, and so does psql.
  { file: 'strings', from: 'set standard_conforming_strings = off;', why: STRINGS },
  { file: 'plpgsql', from: 'set standard_conforming_strings = off;', to: 'set standard_conforming_strings = on;', why: STRINGS },
  { file: 'largeobject', from: '\\lo_unlink 42', to: '-- Load a file', why: FUNCTION_CALL },
  // What is imported is read in all that follows.
  { file: 'largeobject', from: '\\lo_import :filename', why: FUNCTION_CALL },
  { file: 'create_table', from: ') PARTITION BY MAGIC (a);', to: '-- specified column', why: GRAMMAR },
  {
    file: 'foreign_key',
    from: 'ALTER TABLE fktable ALTER CONSTRAINT fktable_fk_fkey NOT VALID;',
    to: '-- test order of firing',
    why: GRAMMAR,
  },
  { file: 'limit', from: '\t\tORDER BY thousand FETCH FIRST 1 ROW WITH TIES FOR UPDATE SKIP LOCKED;', to: '-- should fail', why: GRAMMAR },
  { file: 'limit', from: '\t\tFETCH FIRST 2 ROW WITH TIES;', to: '-- test ruleutils', why: GRAMMAR },
];

export interface Compared {
  /** The first lines that differ and should not. */
  readonly difference: string | null;
  /** Entries of the table that did not differ. */
  readonly stale: readonly ByDesign[];
  readonly differing: readonly ByDesign[];
}

export function compare(file: string, direct: string, ours: string): Compared {
  let [left, right] = [direct.split('\n'), ours.split('\n')];
  const stale: ByDesign[] = [];
  const differing: ByDesign[] = [];
  let searched = 0;
  for (const entry of BY_DESIGN.filter((each) => each.file === file)) {
    const [one, other] = [cut(left, entry, searched), cut(right, entry, searched)];
    (one.removed === other.removed ? stale : differing).push(entry);
    // What comes next comes behind: the same beginning may stand there more than once.
    searched = one.at;
    [left, right] = [one.lines, other.lines];
  }
  return { difference: firstDifference(left, right), stale, differing };
}

function cut(lines: readonly string[], { from = '', to }: ByDesign, searched: number) {
  const begin = lines.findIndex((line, index) => index >= searched && line.startsWith(from));
  if (begin < 0) return { lines: [...lines], removed: '', at: searched };
  const found = to === undefined ? -1 : lines.findIndex((line, index) => index > begin && line.startsWith(to));
  const end = found < 0 ? lines.length : found;
  return { lines: [...lines.slice(0, begin), ...lines.slice(end)], removed: lines.slice(begin, end).join('\n'), at: begin };
}

const SHOWN = 6;

function firstDifference(left: readonly string[], right: readonly string[]): string | null {
  const at = Array.from({ length: Math.max(left.length, right.length) }).findIndex((_, index) => left[index] !== right[index]);
  if (at < 0) return null;
  const show = (mark: string, lines: readonly string[]) => lines.slice(at, at + SHOWN).map((line) => `    ${mark} ${line}`);
  return [`line ${at + 1}`, ...show('-', left), ...show('+', right)].join('\n');
}
