/** RETURNING of the targets, and the results of queries that lock rows of them: of tables with masked columns, spliced into the text. `returning.ts` says what stands where. */
import { type Fields, fields, list, unwrap } from '#sidecar/wire/postgres/sql/ast.ts';
import type { StatementFacts } from '#sidecar/wire/postgres/sql/facts.ts';
import { parseSql, TOKEN, type Token } from '#sidecar/wire/postgres/sql/parse.ts';
import type { Edit } from './analyse-shape.ts';
import { lockedTarget } from './locked.ts';
import type { Resolver } from './resolve.ts';
import type { ResultPlan } from './result-plan.ts';
import { maskReturning, type Replacement } from './returning.ts';
import { fitColumns } from './rewrite-tokens.ts';
import { spanOf } from './rewrite-tokens-text.ts';
import { maskedTargets } from './vet-writes.ts';
import type { MaskedCatalog } from './world.ts';

interface RewrittenColumns {
  readonly edits: readonly Edit[];
  readonly plan: ResultPlan | null;
}

/**
 * `replaced` gets what the tree must hold in the place of each node. `alone`: the text has no other statement, so which result is whose is no question.
 * A string says why it can't be done.
 */
export function rewriteReturning(
  world: MaskedCatalog,
  at: Resolver,
  facts: StatementFacts,
  code: () => readonly Token[] | null,
  replaced: Map<Fields, readonly unknown[]>,
  alone: boolean,
): RewrittenColumns | string {
  const edits: Edit[] = [];
  let plan: ResultPlan | null = null;
  const locked = lockedTarget(world, at, facts);
  if (typeof locked === 'string') return locked;
  for (const { writer, relation } of [...maskedTargets(world, at, facts), ...(locked === null ? [] : [locked])]) {
    const isResult =
      alone && (facts.node === writer.node || (facts.type === 'PrepareStmt' && unwrap(facts.node.query)?.node === writer.node));
    const shown = maskReturning(world, writer, relation, isResult ? fitColumns(world, relation, []) : undefined);
    if (typeof shown === 'string') return shown;
    plan ??= shown.plan;
    for (const replacement of shown.replacements) {
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
  return { edits, plan };
}

/** What the replacement parses to: of a `*` targets, else the one value. */
function treesOf({ node, reference, text }: Replacement): readonly unknown[] | null {
  const parsed = parseSql(`SELECT ${text}`);
  if (!parsed.ok || parsed.statements.length !== 1) return null;
  const targets = list(fields(parsed.statements[0]?.stmt.SelectStmt).targetList);
  if (node !== reference) return targets;
  return targets.length === 1 ? [fields(fields(targets[0]).ResTarget).val] : null;
}
