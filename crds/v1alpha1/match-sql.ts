/** Which SQL commands a rule is about. */
import { EFFECT_KINDS, STATEMENT_KINDS } from '../policy/action.ts';
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

/** Shared by a rule's `effects` and a policy's `ruleSets`. A rule has fewer: the API server refuses a CRD whose checks could cost too much, over all rules. */
export function trustedFunctions(what: string, maxItems: number) {
  return list(
    sqlGlob('`schema.name`, as the server stores it.'),
    `${what} Functions that are known to have none of the effects that are denied, as \`schema.name\` globs. What such a function does is not looked at, wherever it is called: by name, in a view, as a trigger.`,
    { minItems: 1, maxItems },
  );
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
    effects: optional(
      setOf(
        choice(EFFECT_KINDS, 'One effect.'),
        'What a command does beyond reading, at any depth. `Write`: rows, objects, locks, messages to other sessions. `Drop`: DROP, TRUNCATE, ALTER ... DROP. `SchemaChange`: what `log_statement = ddl` would log. `PrivilegeChange`: grants, roles, owners, row security, SET ROLE. `ServerAccess`: files, programs, libraries and settings of the server, connections that it opens. `DeleteWithoutWhere`: a DELETE or MERGE of every row, TRUNCATE. `OpaqueCode`: code that is not in the command and may do any of these. `Deny` and `RequireApproval` match where the command has any effect that is listed, `Allow` covers it only where all of its effects are. A rule that denies an effect should list `OpaqueCode` too, as the ready-made `ruleSets` do.',
        { minItems: 1, maxItems: EFFECT_KINDS.length },
      ),
    ),
    trustedFunctions: optional(trustedFunctions('For `effects`.', 64)),
  },
  'SQL commands. Every member that is present must match.',
  {
    rules: [
      {
        rule: 'has(self.statements) || has(self.relations) || has(self.functions) || has(self.access) || has(self.missingWhere) || has(self.effects)',
        message: 'sql is empty: set a member, or leave sql out to match every command',
      },
      {
        rule: '!has(self.trustedFunctions) || has(self.effects)',
        message: 'trustedFunctions is only for effects',
        fieldPath: '.trustedFunctions',
        reason: 'FieldValueForbidden',
      },
    ],
  },
);
