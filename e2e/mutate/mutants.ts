/** The mutants of a source: each is one small change that a test must notice. */
import { parseSync } from 'oxc-parser';

/** `start` to `end` of the source, in UTF-16 units, becomes `text`. */
export interface Mutant {
  readonly start: number;
  readonly end: number;
  readonly text: string;
  /** In words: what was done. */
  readonly what: string;
}

interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

const COMPARISONS: Readonly<Record<string, string>> = {
  '<': '<=',
  '<=': '<',
  '>': '>=',
  '>=': '>',
  '===': '!==',
  '!==': '===',
  '+': '-',
  '-': '+',
};
const QUANTIFIERS: Readonly<Record<string, string>> = { every: 'some', some: 'every' };

/** In the order of the text, each once. Throws where the source can't be parsed. */
export function mutantsOf(path: string, source: string): Mutant[] {
  const { program, errors } = parseSync(path, source);
  if (errors.length > 0) throw new SyntaxError(`${path}: ${errors[0]?.message}`);
  const found = new Map<string, Mutant>();
  for (const mutant of walk(program as unknown as Node, source)) {
    const key = `${mutant.start}:${mutant.end}:${mutant.text}`;
    if (!found.has(key)) found.set(key, mutant);
  }
  return [...found.values()].sort((a, b) => a.start - b.start || a.end - b.end || (a.text < b.text ? -1 : 1));
}

export function applied(source: string, { start, end, text }: Mutant): string {
  return source.slice(0, start) + text + source.slice(end);
}

function* walk(node: Node, source: string): Generator<Mutant> {
  // Types are gone when the code runs, and what TypeScript proves to be unreachable is never run.
  if (node.type.startsWith('TS') && node.type !== 'TSAsExpression' && node.type !== 'TSNonNullExpression') return;
  if (node.type === 'ImportDeclaration' || isUnreachable(node, source)) return;
  yield* mutantsAt(node, source);
  for (const child of childrenOf(node)) yield* walk(child, source);
}

function childrenOf(node: Node): Node[] {
  return Object.values(node)
    .flatMap((value) => [value].flat())
    .filter(isNode);
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string';
}

/** `default:` of a switch over a closed union. */
function isUnreachable(node: Node, source: string): boolean {
  return node.type === 'SwitchCase' && node.test === null && source.slice(node.start, node.end).includes('satisfies never');
}

function* mutantsAt(node: Node, source: string): Generator<Mutant> {
  const textOf = (part: Node): string => source.slice(part.start, part.end);
  const change = (part: Node, text: string, what: string): Mutant => ({ start: part.start, end: part.end, text, what });
  switch (node.type) {
    case 'IfStatement':
      yield change(node.test as Node, 'false', 'what the condition guards is removed');
      yield change(node.test as Node, 'true', 'the condition is always met');
      return;
    case 'ConditionalExpression':
      yield* negated(node.test as Node, textOf);
      return;
    case 'LogicalExpression':
      yield* ofLogical(node, textOf, change);
      return;
    case 'BinaryExpression':
      yield* ofBinary(node, source);
      return;
    case 'UnaryExpression':
      if (node.operator === '!') yield change(node, textOf(node.argument as Node), 'not is removed');
      return;
    case 'Literal':
      if (typeof node.value === 'boolean') yield change(node, String(!node.value), 'the other boolean');
      if (isFields(node.regex)) yield* ofPattern(node, textOf(node));
      return;
    case 'ThrowStatement':
      yield change(node, ';', 'a throw is removed');
      return;
    case 'ExpressionStatement':
      if (['CallExpression', 'AwaitExpression', 'AssignmentExpression'].includes((node.expression as Node).type)) {
        yield change(node, ';', 'a statement is removed');
      }
      return;
    case 'MemberExpression':
      yield* ofQuantifier(node.property as Node, textOf);
      return;
    case 'ArrayExpression':
      yield* ofList(node, textOf);
      return;
    case 'TaggedTemplateExpression':
      return;
    case 'CallExpression':
      yield* ofWords(node, textOf, change);
      return;
    default:
  }
}

function* negated(test: Node, textOf: (part: Node) => string): Generator<Mutant> {
  const { start, end } = test;
  // `===` and `!` have mutants of their own that say the same.
  if (test.type === 'UnaryExpression' || (test.type === 'BinaryExpression' && /^[!=]==$/.test(String(test.operator)))) return;
  yield { start, end, text: `!(${textOf(test)})`, what: 'a condition is negated' };
}

/** Each operand of a chain left out. A test that sees that sees && in place of || too, so that those are not made. */
function* ofLogical(
  node: Node,
  textOf: (part: Node) => string,
  change: (part: Node, text: string, what: string) => Mutant,
): Generator<Mutant> {
  const [left, right] = [node.left as Node, node.right as Node];
  const operator = String(node.operator);
  yield change(node, textOf(left), `${operator} without its right side`);
  // Of `a || b || c` the left side is `a || b`: its operands are left out one by one.
  if (left.type !== 'LogicalExpression' || left.operator !== operator)
    yield change(node, textOf(right), `${operator} without its left side`);
}

function* ofBinary(node: Node, source: string): Generator<Mutant> {
  const [left, right] = [node.left as Node, node.right as Node];
  const operator = String(node.operator);
  const other = COMPARISONS[operator];
  if (other === undefined || (other === '-' && (isText(left) || isText(right)))) return;
  const gap = source.slice(left.end, right.start);
  const at = left.end + gap.indexOf(operator);
  yield { start: at, end: at + operator.length, text: other, what: `${operator} to ${other}` };
}

/** Texts are put together with + as well. */
function isText(node: Node): boolean {
  return node.type === 'TemplateLiteral' || (node.type === 'Literal' && typeof node.value === 'string');
}

function* ofQuantifier(property: Node, textOf: (part: Node) => string): Generator<Mutant> {
  const name = textOf(property);
  const other = QUANTIFIERS[name];
  if (other !== undefined) yield { start: property.start, end: property.end, text: other, what: `${name} to ${other}` };
}

/** Each entry of a list of names left out, and all of them. */
function* ofList(node: Node, textOf: (part: Node) => string): Generator<Mutant> {
  const elements = (node.elements as (Node | null)[]).filter((element) => element !== null);
  if (elements.length === 0 || !elements.every(({ type, value }) => type === 'Literal' && typeof value === 'string')) return;
  yield { start: node.start, end: node.end, text: '[]', what: 'a list is emptied' };
  if (elements.length === 1) return;
  for (const out of elements) {
    const rest = elements.filter((element) => element !== out).map(textOf);
    yield { start: node.start, end: node.end, text: `[${rest.join(', ')}]`, what: `${textOf(out)} is left out` };
  }
}

/** words(`a b c`): a list of what is allowed. */
function* ofWords(
  node: Node,
  textOf: (part: Node) => string,
  change: (part: Node, text: string, what: string) => Mutant,
): Generator<Mutant> {
  const [only] = node.arguments as Node[];
  if (textOf(node.callee as Node) !== 'words' || only === undefined) return;
  yield change(only, "''", 'a list is emptied');
}

/** /^(a|b|c)/: each alternative left out. */
function* ofPattern(node: Node, literal: string): Generator<Mutant> {
  const match = /^(.*?\()([^()]+\|[^()]+)(\).*)$/s.exec(literal);
  if (match === null) return;
  const [, before = '', inside = '', after = ''] = match;
  const alternatives = inside.split('|');
  for (const out of alternatives) {
    const rest = alternatives.filter((alternative) => alternative !== out).join('|');
    yield { start: node.start, end: node.end, text: before + rest + after, what: `${out} is left out` };
  }
}

function isFields(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
