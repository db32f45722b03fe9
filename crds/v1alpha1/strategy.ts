import { choice, integer, object, onlyWhen, optional } from './schema.ts';

/** How a value is masked. */
export function strategy(description: string) {
  return object(
    {
      type: choice(
        ['Null', 'Redact', 'Partial'],
        '`Null`: the value becomes NULL. `Redact`: it becomes a placeholder that tells nothing of it. `Partial`: characters at its start or end are kept, the rest becomes `*`. Where several rules cover one value the strictest wins, in this order. Not yet enforced, and so refused: `FormatPreserving` and `Token`.',
        { notYet: ['FormatPreserving', 'Token'] },
      ),
      keepStart: optional(
        integer('With `Partial`: how many characters are kept at the start. None where absent.', { minimum: 0, maximum: 16 }),
      ),
      keepEnd: optional(
        integer('With `Partial`: how many characters are kept at the end. None where absent.', { minimum: 0, maximum: 16 }),
      ),
    },
    `${description} Nothing is kept of a value that is shorter than twice what would be kept.`,
    {
      rules: [
        onlyWhen('keepStart', "self.type == 'Partial'", 'type Partial'),
        onlyWhen('keepEnd', "self.type == 'Partial'", 'type Partial'),
        {
          rule: "self.type != 'Partial' || (has(self.keepStart) && self.keepStart > 0) || (has(self.keepEnd) && self.keepEnd > 0)",
          message: 'type Partial keeps something: set keepStart or keepEnd to more than 0, or use Redact',
        },
      ],
    },
  );
}
