/** Walks a value along its schema: what is wrong with it, and a copy with defaults filled in. Messages are worded as the API server words them. */
import { didYouMean } from './did-you-mean.ts';
import { isNotYetEnforced, type Node, notYetEnforcedValues, notYetMember, notYetValue, requiredMembers } from './node.ts';
import { isDateTime, matchesPattern } from './pattern.ts';
import type { Problem, ProblemCode } from './problem.ts';
import { brokenRules } from './rules.ts';

/** Names no member twice, and none that an object's prototype has: members are only ever those of the schema. */
type Members = { [name: string]: unknown };

/** Where there is a problem, the copy is not to be used. */
export function walk(node: Node, value: unknown, path: string, problems: Problem[]): unknown {
  const before = problems.length;
  const copy = walkByType(node, value, path, problems);
  if (problems.length === before) problems.push(...brokenRules(node, copy, path));
  return copy;
}

function walkByType(node: Node, value: unknown, path: string, problems: Problem[]): unknown {
  if (!hasType(node, value)) {
    problems.push(wrongType(node, value, path));
    return undefined;
  }
  switch (node.type) {
    case 'object':
      return walkObject(node, value as object, path, problems);
    case 'array':
      return walkArray(node, value as readonly unknown[], path, problems);
    case 'string':
      problems.push(...stringProblems(node, value as string, path));
      return value;
    case 'integer':
      problems.push(...integerProblems(node, value as number, path));
      return value;
    case 'boolean':
      return value;
    default:
      return node.type satisfies never;
  }
}

function walkObject(node: Node, value: object, path: string, problems: Problem[]): Members {
  const members = node.properties ?? {};
  const given = new Map<string, unknown>(Object.entries(value));
  for (const name of given.keys()) {
    if (!Object.hasOwn(members, name)) problems.push(unknownField(name, Object.keys(members), path));
  }
  for (const name of requiredMembers(node)) {
    if (!given.has(name)) problems.push(problem(at(path, name), 'Required', 'Required value'));
  }
  const copy: Members = {};
  for (const [name, member] of Object.entries(members)) {
    const present = givenOrDefault(member, given.get(name));
    if (present === undefined) continue;
    if (isNotYetEnforced(member)) problems.push(problem(at(path, name), 'NotYetEnforced', notYetMember(name)));
    else copy[name] = walk(member, present, at(path, name), problems);
  }
  return copy;
}

/** As the API server does: a null where there is a default means the default. */
function givenOrDefault(node: Node, value: unknown): unknown {
  return (value === undefined || value === null) && node.default !== undefined ? node.default : value;
}

function walkArray(node: Node, value: readonly unknown[], path: string, problems: Problem[]): readonly unknown[] {
  const { items, minItems = 0, maxItems = Number.POSITIVE_INFINITY } = node;
  if (value.length > maxItems) {
    problems.push(problem(path, 'TooMany', `Too many: ${value.length}: must have at most ${maxItems} items`));
    return [];
  }
  if (value.length < minItems) problems.push(problem(path, 'Invalid', `${path} in body should have at least ${minItems} items`));
  if (items === undefined) return [];
  const copy = Array.from(value, (item, index) => walk(items, item, `${path}[${index}]`, problems));
  problems.push(...duplicates(node, copy, path));
  return copy;
}

function duplicates(node: Node, items: readonly unknown[], path: string): Problem[] {
  const seen = new Set<string>();
  return items.flatMap((item, index) => {
    const id = identity(node, item);
    if (id !== null && seen.has(id)) return [problem(`${path}[${index}]`, 'Duplicate', `Duplicate value: ${id}`)];
    if (id !== null) seen.add(id);
    return [];
  });
}

/** What tells an item of a list apart, as JSON; null where it may be there twice, or is too broken to tell. */
function identity(node: Node, item: unknown): string | null {
  if (item === undefined) return null;
  switch (node['x-kubernetes-list-type']) {
    case 'set':
      return JSON.stringify(item);
    case 'map': {
      const keys = [...(node['x-kubernetes-list-map-keys'] ?? [])].sort();
      const values = keys.map((key) => [key, (item as Members)[key]] as const);
      return values.some(([, value]) => value === undefined) ? null : JSON.stringify(Object.fromEntries(values));
    }
    default:
      return null;
  }
}

function stringProblems(node: Node, value: string, path: string): Problem[] {
  if (node.enum !== undefined && !node.enum.includes(value)) {
    const supported = node.enum.map((allowed) => JSON.stringify(allowed)).join(', ');
    return [problem(path, 'NotSupported', `Unsupported value: ${quote(value)}: supported values: ${supported}`)];
  }
  if (notYetEnforcedValues(node).includes(value)) return [problem(path, 'NotYetEnforced', notYetValue(value))];
  const length = Array.from(value).length;
  const { minLength = 0, maxLength = Number.POSITIVE_INFINITY } = node;
  if (length > maxLength) return [problem(path, 'TooLong', `Too long: may not be more than ${maxLength} bytes`)];
  const invalid = (why: string) => problem(path, 'Invalid', `Invalid value: ${quote(value)}: ${why}`);
  const problems: Problem[] = [];
  if (length < minLength) problems.push(invalid(`${path} in body should be at least ${minLength} chars long`));
  if (node.pattern !== undefined && !matchesPattern(node.pattern, value)) {
    problems.push(invalid(`${path} in body should match '${node.pattern}'`));
  }
  if (node.format === 'date-time' && !isDateTime(value)) {
    problems.push(invalid(`${path} in body must be of type date-time: ${quote(value)}`));
  }
  return problems;
}

function integerProblems(node: Node, value: number, path: string): Problem[] {
  const { minimum = Number.MIN_SAFE_INTEGER, maximum = Number.MAX_SAFE_INTEGER } = node;
  const invalid = (why: string) => [problem(path, 'Invalid', `Invalid value: ${value}: ${path} in body should be ${why}`)];
  if (value < minimum) return invalid(`greater than or equal to ${minimum}`);
  if (value > maximum) return invalid(`less than or equal to ${maximum}`);
  return [];
}

function hasType(node: Node, value: unknown): boolean {
  return node.type === 'integer' ? Number.isSafeInteger(value) : typeName(value) === node.type;
}

function wrongType(node: Node, value: unknown, path: string): Problem {
  const found = typeName(value);
  const wanted = found === 'float64' ? (node.format ?? node.type) : node.type;
  return problem(path, 'TypeInvalid', `Invalid value: "${found}": ${path} in body must be of type ${wanted}: "${found}"`);
}

function typeName(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isSafeInteger(value) ? 'integer' : 'float64';
  return typeof value;
}

export function unknownField(name: string, members: readonly string[], parent: string): Problem {
  const path = at(parent, name);
  const near = didYouMean(name, members);
  return problem(path, 'UnknownField', `unknown field ${JSON.stringify(path)}${near === null ? '' : `; did you mean ${quote(near)}?`}`);
}

export function at(parent: string, name: string): string {
  return parent === '' ? cut(name) : `${parent}.${cut(name)}`;
}

/** A value in a message. */
export function quote(value: string): string {
  return JSON.stringify(cut(value));
}

/** Never more of a text than tells the author which one is meant. */
function cut(value: string): string {
  return value.length > 256 ? `${value.slice(0, 256)}…` : value;
}

function problem(path: string, code: ProblemCode, message: string): Problem {
  return { path, code, message };
}
