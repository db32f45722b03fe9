import { choice, integer, object, onlyWhen, optional, text } from './schema.ts';

/** CEL: a strategy that needs the rule's key. */
export const IS_KEYED = "in ['FormatPreserving', 'Token']";

/** How a value is masked. */
export function strategy(description: string) {
  return object(
    {
      type: choice(
        ['Null', 'Redact', 'Partial', 'FormatPreserving', 'Token'],
        '`Null`: the value becomes NULL. `Redact`: it becomes a placeholder that tells nothing of it. `Partial`: characters at its start or end are kept, the rest becomes `*`. `FormatPreserving`: another value of the same form, made with the key of the rule. `Token`: a token made with the key of the rule, that tells nothing but which values are equal. Both stand only where a column is given out as it is; wherever else a statement uses the column, it meets the placeholder of `Redact`. Where several rules cover one value the strictest wins, in this order.',
      ),
      keepStart: optional(
        integer('With `Partial`: how many characters are kept at the start. None where absent.', { minimum: 0, maximum: 16 }),
      ),
      keepEnd: optional(
        integer('With `Partial`: how many characters are kept at the end. None where absent.', { minimum: 0, maximum: 16 }),
      ),
      domain: optional(
        text(
          'With `FormatPreserving` and `Token`: the same value becomes the same other one only within one domain, of whatever rules with the same key. Where absent, the column as the entry writes it, or the name of the detector.',
          { maxLength: 128 },
        ),
      ),
    },
    `${description} Nothing is kept of a value that is shorter than twice what would be kept.`,
    {
      rules: [
        onlyWhen('keepStart', "self.type == 'Partial'", 'type Partial'),
        onlyWhen('keepEnd', "self.type == 'Partial'", 'type Partial'),
        onlyWhen('domain', `self.type ${IS_KEYED}`, 'types FormatPreserving and Token'),
        {
          rule: "self.type != 'Partial' || (has(self.keepStart) && self.keepStart > 0) || (has(self.keepEnd) && self.keepEnd > 0)",
          message: 'type Partial keeps something: set keepStart or keepEnd to more than 0, or use Redact',
        },
      ],
    },
  );
}
