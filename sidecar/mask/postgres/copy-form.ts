/** How the data of a COPY is written, as far as it is looked into. */
import { asNode, fields, list, text } from '#sidecar/wire/postgres/sql/ast.ts';
import type { StatementFacts } from '#sidecar/wire/postgres/sql/facts.ts';

interface CopyForm {
  readonly format: 'text' | 'csv' | 'binary';
  readonly delimiter: string;
  readonly header: boolean;
  /** Something is not as the format has it of itself; NULL is told by another text, for one. */
  readonly plain: boolean;
}

/** Options that change nothing of how a field is written. */
const OTHERS: ReadonlySet<string> = new Set([
  'force_quote',
  'force_not_null',
  'force_null',
  'freeze',
  'on_error',
  'reject_limit',
  'log_verbosity',
]);

/** A string names the option that is not supported: a quote or an escape of the client's choice could cut a value in two. */
export function copyForm(facts: StatementFacts): CopyForm | string {
  const options = list(facts.node.options).map((option) => fields(asNode(option, 'DefElem')));
  const valueOf = (name: string): unknown => options.find(({ defname }) => text(defname).toLowerCase() === name)?.arg;
  const seen = options.map(({ defname }) => text(defname).toLowerCase());
  const twice = seen.find((name, index) => seen.indexOf(name) !== index);
  if (twice !== undefined) return twice;
  const format = text(asNode(valueOf('format'), 'String')?.sval).toLowerCase() || 'text';
  if (format !== 'text' && format !== 'csv' && format !== 'binary') return `format ${format}`;
  let header = false;
  for (const option of options) {
    const name = text(option.defname).toLowerCase();
    const value = text(asNode(option.arg, 'String')?.sval);
    switch (name) {
      case 'format':
        break;
      case 'header': {
        const off = ['false', 'off', '0'].includes(value.toLowerCase()) || fields(asNode(option.arg, 'Boolean')).boolval === false;
        header = !off && numberOf(option.arg) !== 0;
        break;
      }
      case 'delimiter':
        if (!(format === 'csv' ? CSV_DELIMITERS : TEXT_DELIMITERS).includes(value)) return name;
        break;
      case 'null':
        if (!/^[\w ()\\-]{0,20}$/.test(value)) return name;
        break;
      case 'quote':
      case 'escape':
        if (value !== '"') return name;
        break;
      default:
        if (!OTHERS.has(name)) return name;
    }
  }
  const own = format === 'csv' ? ',' : '\t';
  const delimiter = text(asNode(valueOf('delimiter'), 'String')?.sval) || own;
  return { format, delimiter, header, plain: delimiter === own && !seen.includes('null') };
}

/** A field with the delimiter in it is quoted whole in csv, and escaped in the text format: there it may be nothing that is part of a value. */
const CSV_DELIMITERS = [',', ';', '|', '\t'];
const TEXT_DELIMITERS = ['\t'];

function numberOf(value: unknown): number | null {
  const node = asNode(value, 'Integer');
  return node === null ? null : typeof node.ival === 'number' ? node.ival : 0;
}
