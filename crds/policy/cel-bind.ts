import type { CelInput } from '@bufbuild/cel';
import type { Action, SqlName, SqlStatement } from './action.ts';
import {
  MAX_CLAIM_VALUES,
  MAX_GROUPS,
  MAX_NAME_LENGTH,
  MAX_NAMES,
  MAX_PRINCIPALS,
  MAX_REACHED,
  MAX_STATEMENTS,
  MAX_TEXT_LENGTH,
} from './cel-shape.ts';
import type { JsonValue } from './json.ts';
import type { Principal } from './principal.ts';

/** What a condition is judged with. */
export interface ConditionInput {
  readonly action: Action;
  readonly principals: readonly Principal[];
  readonly resource: { readonly namespace: string; readonly name: string; readonly protocol: string };
  /** Unix time in milliseconds. */
  readonly nowMs: number;
}

/** The values of the variables but for `now`, which is made from text by the evaluator itself. */
export interface Bindings {
  readonly action: CelInput;
  readonly principals: CelInput;
  readonly resource: CelInput;
  readonly nowText: string;
}

type Members = Map<string, CelInput>;

/** A member that is too large, or a list of names with one that is not resolved, is left out: to look at it is an error, and an error denies. */
export function bindCondition(input: ConditionInput): Bindings {
  const { namespace, name, protocol } = input.resource;
  if (input.principals.length > MAX_PRINCIPALS) throw new RangeError('too many principals for a condition');
  return {
    action: actionMembers(input.action),
    principals: input.principals.map(principalMembers),
    resource: new Map(Object.entries({ namespace, name, protocol })),
    nowText: new Date(input.nowMs).toISOString(),
  };
}

function actionMembers(action: Action): Members {
  const members: Members = new Map([['type', action.type]]);
  switch (action.type) {
    case 'connect':
      put(members, 'database', action.database, MAX_NAME_LENGTH);
      put(members, 'user', action.user, MAX_NAME_LENGTH);
      return members;
    case 'sql':
      put(members, 'database', action.database, MAX_NAME_LENGTH);
      put(members, 'user', action.user, MAX_NAME_LENGTH);
      if (action.statements.length <= MAX_STATEMENTS) members.set('statements', action.statements.map(statementMembers));
      return members;
    case 'http':
      put(members, 'method', action.method, MAX_NAME_LENGTH);
      put(members, 'host', action.host, MAX_NAME_LENGTH);
      put(members, 'path', action.path, MAX_TEXT_LENGTH);
      put(members, 'query', action.query, MAX_TEXT_LENGTH);
      return members;
    default:
      return action satisfies never;
  }
}

function statementMembers(statement: SqlStatement): Members {
  const members: Members = new Map<string, CelInput>([
    ['kind', statement.kind],
    ['kinds', [...statement.kinds]],
    ['access', statement.access],
    ['missingWhere', statement.missingWhere],
    ['effects', [...new Set(statement.effects.map(({ kind }) => kind))]],
    ['housekeeping', statement.housekeeping],
  ]);
  putNames(members, 'reads', statement.reads, MAX_NAMES);
  putNames(members, 'writes', statement.writes, MAX_NAMES);
  putNames(members, 'reached', statement.reached, MAX_REACHED);
  putNames(members, 'functions', statement.functions, MAX_NAMES);
  return members;
}

function principalMembers(principal: Principal): Members {
  const members: Members = new Map<string, CelInput>([
    ['kind', principal.kind],
    ['proof', principal.proof],
  ]);
  put(members, 'issuer', principal.issuer, MAX_TEXT_LENGTH);
  put(members, 'subject', principal.subject, MAX_NAME_LENGTH);
  put(members, 'onBehalfOf', principal.onBehalfOf, MAX_NAME_LENGTH);
  if (principal.groups.length <= MAX_GROUPS && principal.groups.every((group) => group.length <= MAX_NAME_LENGTH))
    members.set('groups', [...principal.groups]);
  const claims = claimValue(principal.claims, { left: MAX_CLAIM_VALUES });
  if (claims !== undefined) members.set('claims', claims);
  return members;
}

function put(members: Members, name: string, value: string | undefined, maxLength: number): void {
  if (value !== undefined && value.length <= maxLength) members.set(name, value);
}

function putNames(members: Members, key: string, names: readonly SqlName[], max: number): void {
  if (names.length > max) return;
  const texts: string[] = [];
  for (const { schema, name } of names) {
    if (schema === null || schema.length + name.length >= MAX_NAME_LENGTH) return;
    texts.push(`${schema}.${name}`);
  }
  members.set(key, texts);
}

/** Undefined where the value is too large. Counts every value at every depth. */
function claimValue(value: JsonValue, budget: { left: number }): CelInput | undefined {
  budget.left -= 1;
  if (budget.left < 0) return undefined;
  if (typeof value === 'string') return value.length <= MAX_TEXT_LENGTH ? value : undefined;
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) {
    const items: CelInput[] = [];
    for (const element of value as readonly JsonValue[]) {
      const item = claimValue(element, budget);
      if (item === undefined) return undefined;
      items.push(item);
    }
    return items;
  }
  const members: Members = new Map();
  for (const [key, element] of Object.entries(value as { readonly [key: string]: JsonValue })) {
    const item = key.length <= MAX_TEXT_LENGTH ? claimValue(element, budget) : undefined;
    if (item === undefined) return undefined;
    members.set(key, item);
  }
  return members;
}
