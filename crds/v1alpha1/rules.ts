/** Runs the CEL rules of a schema as the API server does, so that both say the same. */
import { type CelInput, CelScalar, celEnv, isCelError, parse, plan } from '@bufbuild/cel';
import { strings } from '@bufbuild/cel/ext';
import type { Node } from './node.ts';
import type { Problem } from './problem.ts';
import type { Rule } from './schema.ts';

const CODES = { FieldValueRequired: 'Required', FieldValueForbidden: 'Forbidden', FieldValueInvalid: 'Invalid' } as const;

type Check = (self: CelInput) => boolean;

/** Rules are constants of the schema, so a compiled one is kept for as long as its Rule lives. */
const compiled = new WeakMap<Rule, Check>();

/** `value` must have passed the rest of the schema, with its defaults filled in. */
export function brokenRules(node: Node, value: unknown, path: string): Problem[] {
  const rules = node['x-kubernetes-validations'] ?? [];
  if (rules.length === 0) return [];
  const self = celValue(node, value);
  return rules
    .filter((rule) => !holds(rule, self))
    .map((rule) => ({
      path: `${path}${rule.fieldPath ?? ''}`,
      code: CODES[rule.reason ?? 'FieldValueInvalid'],
      message: rule.message,
    }));
}

/** A rule that fails to run is broken: nothing is valid by accident. */
function holds(rule: Rule, self: CelInput): boolean {
  const check = compiled.get(rule) ?? compile(rule);
  compiled.set(rule, check);
  return check(self);
}

function compile(rule: Rule): Check {
  const env = celEnv({ variables: { self: CelScalar.DYN }, funcs: strings });
  const run = plan(env, parse(rule.rule));
  return (self) => {
    const result = run({ self });
    return !isCelError(result) && result === true;
  };
}

/** CEL tells integers from floats, JSON does not: the schema says which is which. */
function celValue(node: Node, value: unknown): CelInput {
  if (typeof value === 'number') return BigInt(value);
  if (typeof value === 'string' || typeof value === 'boolean') return value;
  if (Array.isArray(value)) {
    const item = node.items;
    return item === undefined ? [] : value.map((member: unknown) => celValue(item, member));
  }
  const members = new Map<string, CelInput>();
  for (const [name, member] of Object.entries(value as object)) {
    const child = node.properties?.[name];
    if (child !== undefined) members.set(name, celValue(child, member));
  }
  return members;
}
