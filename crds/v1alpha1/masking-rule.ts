/** MaskingRule: what is hidden in what comes back. */
import { DETECTOR_TYPES } from '../policy/snapshot.ts';
import { DNS_LABEL, SQL_GLOB_PART, secretKeyRef, targetRefs } from './names.ts';
import { choice, exactlyWhen, form, list, listByKey, notYet, object, optional, requiredWhen, type Static, text } from './schema.ts';
import { policyStatus } from './status.ts';
import { IS_KEYED, strategy } from './strategy.ts';
import { subjects } from './subjects.ts';

const column = object(
  {
    column: text(
      '`schema.table.column` as the server stores the names, where `*` stands for any characters of one part: `public.customers.email`, `*.*.password*`.',
      {
        maxLength: 256,
        rules: [
          form(
            `${SQL_GLOB_PART}[.]${SQL_GLOB_PART}[.]${SQL_GLOB_PART}`,
            'must be schema.table.column without quotes, where * stands for any characters of one part: public.customers.email',
          ),
        ],
      },
    ),
    strategy: strategy('How the values are masked.'),
  },
  'Columns that are masked, wherever their values would come out.',
);

const detector = object(
  {
    name: text('What a recording calls the detector. Unique in the rule.', { maxLength: 63, pattern: DNS_LABEL }),
    type: choice(DETECTOR_TYPES, 'What is looked for. `Card` checks the Luhn digit and `IBAN` its check digits; `Custom` uses `pattern`.'),
    pattern: optional(
      text('With type Custom: an RE2 regular expression. What it matches is masked; it must not match the empty text.', { maxLength: 512 }),
    ),
    strategy: strategy('How what was found is masked; the text around it stays, but with `Null` the whole value becomes NULL.'),
  },
  'Looks for values of one form in everything that comes back: rows, errors, notices, bodies. It is the second line of defence, because a value that was changed on the way no longer has its form: name the columns too.',
  {
    rules: exactlyWhen('pattern', "self.type == 'Custom'", 'type Custom'),
  },
);

function someKeyed(entries: string): string {
  return `(has(self.${entries}) && self.${entries}.exists(entry, entry.strategy.type ${IS_KEYED}))`;
}

export const maskingRuleSpec = object(
  {
    targetRefs: targetRefs('rule'),
    columns: optional(
      listByKey(['column'], column, 'Columns that are masked. Of two entries that cover a column the stricter wins.', {
        minItems: 1,
        maxItems: 128,
      }),
    ),
    detectors: optional(
      listByKey(['name'], detector, 'Forms of values that are masked wherever they appear.', { minItems: 1, maxItems: 32 }),
    ),
    jsonPaths: notYet(
      list(
        object(
          { path: text('JSONPath into a body.', { maxLength: 256 }), strategy: strategy('How the values are masked.') },
          'Values in JSON bodies that are masked.',
        ),
        'Values in JSON bodies that are masked. Not yet enforced, and so refused.',
        { minItems: 1, maxItems: 64 },
      ),
    ),
    keySecretRef: optional(
      secretKeyRef(
        'The key of the strategies `FormatPreserving` and `Token`: at least 32 random bytes, as they are or as text. While it is missing or shorter, those strategies give the placeholder of `Redact`. With another key every value becomes another one.',
        'key',
      ),
    ),
    exemptSubjects: optional(
      subjects(
        'Who sees the values in clear. Somebody is exempt from the mask of a column only if every MaskingRule that covers the column exempts them.',
        1,
      ),
    ),
    unprovable: choice(
      ['Deny'],
      'What happens to a command that can not be proved to be masked. `Deny`: it is refused. Not yet enforced, and so refused: `Mask`.',
      { default: 'Deny', notYet: ['Mask'] },
    ),
    predicates: choice(
      ['SourceMasked', 'Strict'],
      'What a condition on a masked column sees. `SourceMasked`: the masked value, as the result does. `Strict`: there is no such condition: a masked column may be shown, and nothing may be selected, joined, ordered, grouped or decided by it. Of several rules that cover a column the stricter counts. Not yet enforced, and so refused: `Permissive`, which lets it see the true value.',
      { default: 'SourceMasked', notYet: ['Permissive'] },
    ),
    functions: optional(
      listByKey(
        ['definitionSha256'],
        object(
          {
            name: text('For people: `public.order_count(integer)`.', { maxLength: 256 }),
            definitionSha256: text('SHA-256 of what `pg_get_functiondef` gives, in hexadecimal digits.', {
              maxLength: 64,
              pattern: '^[0-9a-f]{64}$',
            }),
          },
          'A function of the database that somebody has read.',
        ),
        'Functions of the database that may be called where this rule masks something. Their bodies are not looked into: whoever lists one says that it shows nothing that is masked. It is known by its definition, so that another body under the same name is refused. A function that another MaskingRule of the target does not list is refused too.',
        { minItems: 1, maxItems: 128 },
      ),
    ),
  },
  'What is hidden in what comes back from a target.',
  {
    rules: [
      { rule: 'has(self.columns) || has(self.detectors)', message: 'at least one of columns and detectors is required' },
      requiredWhen('keySecretRef', `${someKeyed('columns')} || ${someKeyed('detectors')}`, 'strategy FormatPreserving or Token'),
    ],
  },
);
export const maskingRuleStatus = policyStatus;
export type MaskingRuleSpec = Static<typeof maskingRuleSpec>;
