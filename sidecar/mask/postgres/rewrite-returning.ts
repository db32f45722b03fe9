/** RETURNING of the targets, and the results of queries that lock rows of them: of tables with masked columns, spliced into the text. `returning.ts` says what stands where. */
import { type Fields, fields, list } from '#sidecar/wire/postgres/sql/ast.ts';
import type { StatementFacts } from '#sidecar/wire/postgres/sql/facts.ts';
import { parseSql, TOKEN, type Token } from '#sidecar/wire/postgres/sql/parse.ts';
import type { Edit } from './analyse-shape.ts';
import { lockedTarget } from './locked.ts';
import type { Resolver } from './resolve.ts';
import { maskReturning, type Replacement } from './returning.ts';
import { spanOf } from './rewrite-tokens-text.ts';
import { maskedTargets } from './vet-writes.ts';
import type { MaskedCatalog } from './world.ts';

/** `replaced` gets what the tree must hold in the place of each node. A string says why it can't be done. */
export function rewriteReturning(
  world: MaskedCatalog,
  at: Resolver,
  facts: StatementFacts,
  code: () => readonly Token[] | null,
  replaced: Map<Fields, readonly unknown[]>,
): readonly Edit[] | string {
  const edits: Edit[] = [];
  const locked = lockedTarget(world, at, facts);
  if (typeof locked === 'string') return locked;
  for (const { writer, relation } of [...maskedTargets(world, at, facts), ...(locked === null ? [] : [locked])]) {
    const replacements = maskReturning(world, writer, relation);
    if (typeof replacements === 'string') return replacements;
    for (const replacement of replacements) {
      const tokens = code();
      const span = tokens === null ? null : spanOf(tokens, replacement.reference);
      const trees = treesOf(replacement);
      // U& identifiers may be followed by UESCAPE.
      if (span === null || trees === null || tokens?.some((token) => token.type === TOKEN.uident) !== false)
        return 'what RETURNING names can not be found in the text';
      replaced.set(replacement.node, trees);
      edits.push({ ...span, text: replacement.text });
    }
  }
  return edits;
}

/** What the replacement parses to: of a `*` targets, else the one value. */
function treesOf({ node, reference, text }: Replacement): readonly unknown[] | null {
  const parsed = parseSql(`SELECT ${text}`);
  if (!parsed.ok || parsed.statements.length !== 1) return null;
  const targets = list(fields(parsed.statements[0]?.stmt.SelectStmt).targetList);
  if (node !== reference) return targets;
  return targets.length === 1 ? [fields(fields(targets[0]).ResTarget).val] : null;
}
