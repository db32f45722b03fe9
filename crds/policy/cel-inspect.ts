import type { parse } from '@bufbuild/cel';
import { RE2JS } from 're2js';
import { ANY, bounds, comparing, either, NOTHING, type Shape, VARIABLES } from './cel-shape.ts';

export type Expr = ReturnType<typeof parse>['expr'];
type Comprehension = Extract<Expr['exprKind'], { case: 'comprehensionExpr' }>['value'];
type Call = Extract<Expr['exprKind'], { case: 'callExpr' }>['value'];

/** What is wrong with a condition, for its author. */
export class ConditionProblem extends Error {}

export interface Inspection {
  /** Steps of the evaluator, for the largest input that is bound. */
  readonly cost: number;
  /** Members of `action` that the text names. */
  readonly actionMembers: ReadonlySet<string>;
}

interface Part {
  readonly shape: Shape;
  readonly cost: number;
}
type Scope = ReadonlyMap<string, Shape>;

const MAX_PATTERN_LENGTH = 256;
const MAX_PROGRAM_SIZE = 400;
const TIME_ZONE_COST = 4000;
const BOOL: Shape = { is: 'bool' };
const SCALAR: Shape = { is: 'scalar' };
const LOGIC = new Set(['!_', '_&&_', '_||_']);
const ORDER = new Set(['_<_', '_<=_', '_>_', '_>=_']);
const ARITHMETIC = new Set(['_-_', '_*_', '_/_', '_%_', '-_']);
const SEARCH = new Set(['contains', 'startsWith', 'endsWith']);
const CONVERSION = new Set(['int', 'uint', 'double', 'bytes', 'timestamp', 'duration']);
const TYPE_NAMES = new Set([
  'bool',
  'bytes',
  'double',
  'duration',
  'int',
  'list',
  'map',
  'null_type',
  'string',
  'timestamp',
  'type',
  'uint',
]);
const TIME_PART = /^get(FullYear|Month|Date|DayOfMonth|DayOfWeek|DayOfYear|Hours|Minutes|Seconds|Milliseconds)$/;

/** Walks the syntax tree once: every name must exist, operands of logic must be boolean, and the cost is summed up. Throws ConditionProblem. */
export function inspect(root: Expr): Inspection {
  const actionMembers = new Set<string>();

  function look(expr: Expr, scope: Scope): Part {
    const kind = expr.exprKind;
    switch (kind.case) {
      case 'constExpr': {
        const value = kind.value.constantKind;
        if (value.case === 'boolValue') return { shape: BOOL, cost: 1 };
        if (value.case === 'stringValue') return { shape: { is: 'string', max: value.value.length }, cost: 1 };
        return { shape: SCALAR, cost: 1 };
      }
      case 'identExpr':
        return { shape: variable(kind.value.name, scope), cost: 1 };
      case 'selectExpr': {
        if (kind.value.operand === undefined) throw new ConditionProblem('a member of nothing');
        const operand = look(kind.value.operand, scope);
        const shape = member(operand.shape, kind.value.field);
        return { shape: kind.value.testOnly ? BOOL : shape, cost: operand.cost + 1 };
      }
      case 'listExpr': {
        const parts = kind.value.elements.map((element) => look(element, scope));
        return {
          shape: { is: 'list', of: parts.map((part) => part.shape).reduce(either, NOTHING), max: parts.length, step: 1 },
          cost: total(parts) + 1,
        };
      }
      case 'structExpr':
        return mapLiteral(kind.value, scope);
      case 'callExpr':
        return call(kind.value, scope);
      case 'comprehensionExpr':
        return comprehension(kind.value, scope);
      default:
        throw new ConditionProblem('not a CEL expression');
    }
  }

  function variable(name: string, scope: Scope): Shape {
    const local = scope.get(name);
    if (local !== undefined) return local;
    if (Object.hasOwn(VARIABLES, name)) return VARIABLES[name] as Shape;
    if (TYPE_NAMES.has(name)) return SCALAR;
    throw new ConditionProblem(`unknown variable ${name}: there are ${Object.keys(VARIABLES).join(', ')}`);
  }

  function member(shape: Shape, name: string): Shape {
    switch (shape.is) {
      case 'record': {
        const found = Object.hasOwn(shape.members, name) ? shape.members[name] : undefined;
        if (found === undefined)
          throw new ConditionProblem(`${shape.name} has no member ${name}: there are ${Object.keys(shape.members).join(', ')}`);
        if (shape === VARIABLES.action) actionMembers.add(name);
        return found;
      }
      case 'any':
        return shape;
      default:
        throw new ConditionProblem(`a ${shape.is === 'list' ? 'list' : 'plain value'} has no member ${name}`);
    }
  }

  function mapLiteral(literal: Extract<Expr['exprKind'], { case: 'structExpr' }>['value'], scope: Scope): Part {
    if (literal.messageName !== '') throw new ConditionProblem(`messages can not be made: ${literal.messageName}`);
    let [shape, cost] = [ANY, 1];
    for (const entry of literal.entries) {
      const parts = [entry.keyKind.case === 'mapKey' ? entry.keyKind.value : undefined, entry.value].flatMap((expr) =>
        expr === undefined ? [] : [look(expr, scope)],
      );
      shape = { is: 'any', ...bounds(parts.reduce((all, part) => either(all, part.shape), shape)) };
      cost += total(parts);
    }
    return { shape, cost };
  }

  function comprehension(loop: Comprehension, scope: Scope): Part {
    const { iterRange, accuInit, loopStep, loopCondition, result } = loop;
    if (!iterRange || !accuInit || !loopStep || !loopCondition || !result || loop.iterVar2 !== '')
      throw new ConditionProblem('not a macro that is supported');
    const range = look(iterRange, scope);
    const [element, times, step] = elements(range.shape);
    const start = look(accuInit, scope);
    const gathers = start.shape.is === 'list';
    const accumulator: Shape = gathers ? { is: 'list', of: NOTHING, max: times, step: Math.max(1, times) } : start.shape;
    const inside = new Map(scope).set(loop.iterVar, element).set(loop.accuVar, accumulator);
    const body = look(loopStep, inside);
    const cost = range.cost + start.cost + times * (step + body.cost + look(loopCondition, inside).cost);
    const gathered: Shape =
      gathers && body.shape.is === 'list' ? { is: 'list', of: body.shape.of, max: times, step: Math.max(1, times) } : accumulator;
    const last = look(result, new Map(scope).set(loop.accuVar, gathered));
    return { shape: last.shape, cost: cost + last.cost };
  }

  function call(value: Call, scope: Scope): Part {
    const target = value.target === undefined ? undefined : look(value.target, scope);
    const args = value.args.map((arg) => look(arg, scope));
    const cost = total(target === undefined ? args : [target, ...args]) + 1;
    const all = target === undefined ? args : [target, ...args];
    const [a, b] = [all[0]?.shape ?? NOTHING, all[1]?.shape ?? NOTHING];
    const name = value.function;
    if (name === '@not_strictly_false') return { shape: BOOL, cost };
    if (LOGIC.has(name)) {
      for (const arg of args) mustBeBoolean(arg.shape, `an operand of ${name.replaceAll('_', '')}`);
      return { shape: BOOL, cost };
    }
    if (name === '_?_:_') {
      mustBeBoolean(a, 'what stands before ?');
      return { shape: either(b, args[2]?.shape ?? NOTHING), cost };
    }
    if (name === '_==_' || name === '_!=_') return { shape: BOOL, cost: cost + Math.min(comparing(a), comparing(b)) };
    if (ORDER.has(name)) return { shape: BOOL, cost: cost + Math.min(comparing(a), comparing(b)) };
    if (name === '@in') {
      const [element, times, step] = elements(b);
      return { shape: BOOL, cost: cost + times * (step + Math.min(comparing(element), comparing(a))) };
    }
    if (name === '_[_]') return { shape: item(a, value.args[1]), cost: cost + bounds(a).step };
    if (name === '_+_') return sum(a, b, cost);
    if (ARITHMETIC.has(name)) return { shape: SCALAR, cost };
    if (name === 'matches') return { shape: BOOL, cost: cost + matching(bounds(a).text, value.args.at(-1)) };
    if (SEARCH.has(name)) return { shape: BOOL, cost: cost + bounds(a).text / 16 };
    if (name === 'size') return { shape: SCALAR, cost: cost + bounds(a).text / 16 };
    if (name === 'bool') return { shape: BOOL, cost };
    if (name === 'string') return { shape: { is: 'string', max: Math.max(64, bounds(a).text) }, cost: cost + bounds(a).text / 64 };
    if (name === 'dyn') return { shape: a, cost };
    if (name === 'type') return { shape: SCALAR, cost };
    if (CONVERSION.has(name)) return { shape: SCALAR, cost: cost + bounds(a).text / 16 };
    if (TIME_PART.test(name)) return { shape: SCALAR, cost: cost + (args.length > 0 ? TIME_ZONE_COST : 0) };
    throw new ConditionProblem(`unknown function ${name}`);
  }

  const { shape, cost } = look(root, new Map());
  mustBeBoolean(shape, 'the condition');
  return { cost: Math.ceil(cost), actionMembers };
}

function total(parts: readonly Part[]): number {
  return parts.reduce((sum, part) => sum + part.cost, 0);
}

function mustBeBoolean(shape: Shape, what: string): void {
  if (shape.is !== 'bool' && shape.is !== 'any') throw new ConditionProblem(`${what} must be boolean`);
}

/** What a loop over a value meets, how often at most, and what a step costs. */
function elements(shape: Shape): readonly [Shape, number, number] {
  if (shape.is === 'list') return [shape.of, shape.max, shape.step];
  if (shape.is === 'any') return [shape, shape.max, shape.step];
  if (shape.is === 'record') return [{ is: 'string', max: 64 }, Object.keys(shape.members).length, 1];
  throw new ConditionProblem('a loop and `in` need a list or a map');
}

function item(shape: Shape, key: Expr | undefined): Shape {
  if (shape.is === 'list') return shape.of;
  if (shape.is === 'any') return shape;
  if (shape.is === 'record') throw new ConditionProblem(`members of ${shape.name} are written with a dot`);
  throw new ConditionProblem(`a plain value has no items${key === undefined ? '' : ' to index'}`);
}

function sum(a: Shape, b: Shape, cost: number): Part {
  if (a.is === 'string' && b.is === 'string') return { shape: { is: 'string', max: a.max + b.max }, cost: cost + (a.max + b.max) / 64 };
  if (a.is === 'list' && b.is === 'list')
    return { shape: { is: 'list', of: either(a.of, b.of), max: a.max + b.max, step: Math.max(a.step, b.step) + 1 }, cost };
  if (a.is === 'scalar' && b.is === 'scalar') return { shape: SCALAR, cost };
  const [left, right] = [bounds(a), bounds(b)];
  const text = left.text + right.text;
  return { shape: { is: 'any', max: left.max + right.max, text, step: Math.max(left.step, right.step) + 1 }, cost: cost + text / 64 };
}

/** RE2 is linear in text and program; the pattern must be written out, so that both are known now. */
function matching(textLength: number, pattern: Expr | undefined): number {
  const constant = pattern?.exprKind.case === 'constExpr' ? pattern.exprKind.value.constantKind : undefined;
  if (constant?.case !== 'stringValue') throw new ConditionProblem('the pattern of matches must be a string in quotes');
  if (constant.value.length > MAX_PATTERN_LENGTH) throw new ConditionProblem(`a pattern has at most ${MAX_PATTERN_LENGTH} characters`);
  let size: number;
  try {
    size = RE2JS.compile(constant.value).programSize();
  } catch {
    throw new ConditionProblem('the pattern of matches is not an RE2 regular expression');
  }
  if (size > MAX_PROGRAM_SIZE) throw new ConditionProblem('the pattern of matches is too complex');
  return 50 + (textLength * size) / 16;
}
