/** Which SQL commands a rule is about. */
import { STATEMENT_KINDS } from '../policy/action.ts';
import { SQL_GLOB_PART } from './names.ts';
import { choice, flag, form, list, object, optional, setOf, text } from './schema.ts';

function sqlGlob(description: string) {
  return text(description, {
    maxLength: 256,
    rules: [
      form(
        `${SQL_GLOB_PART}[.]${SQL_GLOB_PART}`,
        'must be schema.name without quotes, where * stands for any characters: public.orders, public.*',
      ),
    ],
  });
}

export const sql = object(
  {
    statements: optional(
      setOf(
        choice(STATEMENT_KINDS, 'One kind of statement.'),
        'Kinds of statement, at any depth: a DELETE inside a CTE is a `Delete` too. `Deny` and `RequireApproval` match where any of them is listed. `Allow`, and an approval, cover a command only where all of them are: an UPDATE with a sub-select takes `[Update, Select]`.',
        { minItems: 1, maxItems: STATEMENT_KINDS.length },
      ),
    ),
    relations: optional(
      list(
        sqlGlob('`schema.name`, as the server stores it (lower case unless it was quoted).'),
        'Tables and views as `schema.name`, where `*` stands for any characters: `public.*`, `sales.order_*`. `Deny` and `RequireApproval` match where any relation is listed, also one behind a view or a partition. `Allow`, and an approval, cover a command only where all of them are. A name that can not be resolved is not allowed.',
        { minItems: 1, maxItems: 64 },
      ),
    ),
    functions: optional(
      list(
        sqlGlob('`schema.name`, as the server stores it.'),
        'Functions called by name, as `schema.name` globs: `pg_catalog.*`. Matched like relations.',
        { minItems: 1, maxItems: 64 },
      ),
    ),
    access: optional(
      choice(
        ['Read', 'Write'],
        '`Read`: it is known that nothing changes (no writing statement at any depth, no locking clause, no function that may write). `Write`: everything else.',
      ),
    ),
    missingWhere: optional(
      flag('`true`: an UPDATE or DELETE with no WHERE at any depth, or a TRUNCATE.', {
        rules: [{ rule: 'self', message: 'only true is supported: leave missingWhere out where a WHERE does not matter' }],
      }),
    ),
  },
  'SQL commands. Every member that is present must match.',
  {
    rules: [
      {
        rule: 'has(self.statements) || has(self.relations) || has(self.functions) || has(self.access) || has(self.missingWhere)',
        message: 'sql is empty: set a member, or leave sql out to match every command',
      },
    ],
  },
);
