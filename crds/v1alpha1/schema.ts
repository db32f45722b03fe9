/**
 * The words that a kind is written in. Each builder gives a typebox schema, so that one expression is the TypeScript type (`Static`), the text of
 * `kubectl explain`, the CRD's schema and what the validator walks. Keywords are those of a Kubernetes structural schema; `x-chaperone-…` are our
 * own, and the generator turns them into CEL rules.
 *
 * A member with a default is required in the type (the validator fills it in) and optional in a manifest.
 */
import Type, { type Static, type TOptional, type TProperties, type TSchema, type TUnsafe } from 'typebox';

export type { Static, TSchema };

/** A CEL rule, run by the API server and by our own validator alike. `self` is the value that carries it. */
export interface Rule {
  readonly rule: string;
  readonly message: string;
  /** Member of `self` that the problem is about: `.postgresql`. */
  readonly fieldPath?: string;
  /** What kind of problem it is; `FieldValueInvalid` where absent. */
  readonly reason?: 'FieldValueRequired' | 'FieldValueForbidden';
}

interface Common {
  readonly default?: unknown;
  readonly rules?: readonly Rule[];
}

interface Bounds {
  readonly minItems?: number;
  readonly maxItems: number;
  readonly rules?: readonly Rule[];
}

/** Keyword for a member (`true`) or for values of an enum (a list) that are named in the API before they are enforced: they are refused. */
export const NOT_YET = 'x-chaperone-not-yet-enforced';

export function text(
  description: string,
  options: Common & { readonly maxLength: number; readonly minLength?: number; readonly pattern?: string; readonly format?: 'date-time' },
) {
  const { rules, minLength = 1, ...rest } = options;
  return Type.String({ description, minLength, ...rest, ...celRules(rules) });
}

/** A closed list of strings. Values of `notYet` are in the schema, and refused. */
export function choice<const V extends string>(
  values: readonly V[],
  description: string,
  options: Common & { readonly default?: V; readonly notYet?: readonly string[] } = {},
): TUnsafe<V> {
  const { rules, notYet = [], ...rest } = options;
  return Type.Unsafe<V>({
    type: 'string',
    enum: [...values, ...notYet],
    description,
    ...rest,
    ...celRules(rules),
    ...(notYet.length > 0 ? { [NOT_YET]: notYet } : {}),
  });
}

export function integer(description: string, options: Common & { readonly minimum: number; readonly maximum: number }) {
  const { rules, ...rest } = options;
  return Type.Integer({ description, format: options.maximum > 2 ** 31 - 1 ? 'int64' : 'int32', ...rest, ...celRules(rules) });
}

export function flag(description: string, options: Common = {}) {
  const { rules, ...rest } = options;
  return Type.Boolean({ description, ...rest, ...celRules(rules) });
}

/** An ordered list that is applied as a whole. */
export function list<S extends TSchema>(item: S, description: string, bounds: Bounds) {
  return array(item, description, bounds, { 'x-kubernetes-list-type': 'atomic' });
}

/** A list of scalars with no duplicates. */
export function setOf<S extends TSchema>(item: S, description: string, bounds: Bounds) {
  return array(item, description, bounds, { 'x-kubernetes-list-type': 'set' });
}

/** A list whose items are told apart by `keys`, so that server-side apply merges them. */
export function listByKey<S extends TSchema>(keys: readonly string[], item: S, description: string, bounds: Bounds) {
  return array(item, description, bounds, { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': keys });
}

export function object<P extends TProperties>(properties: P, description: string, options: Common = {}) {
  const { rules, ...rest } = options;
  return Type.Object(properties, { description, ...rest, ...celRules(rules) });
}

export function optional<S extends TSchema>(schema: S) {
  return Type.Optional(schema);
}

/** A member that is named in the API before it is enforced. A manifest that sets it is refused, so its type is `never`. */
export function notYet(schema: TSchema): TOptional<TUnsafe<never>> {
  return Type.Optional(Type.Unsafe<never>({ ...schema, [NOT_YET]: true }));
}

function array<S extends TSchema>(item: S, description: string, bounds: Bounds, keywords: object) {
  const { rules, ...rest } = bounds;
  return Type.Array(item, { description, ...rest, ...keywords, ...celRules(rules) });
}

/** Two rules: `member` must be there where `condition` holds, and must not be there otherwise. `when` says the condition in words. */
export function exactlyWhen(member: string, condition: string, when: string): readonly Rule[] {
  return [requiredWhen(member, condition, when), onlyWhen(member, condition, when)];
}

export function requiredWhen(member: string, condition: string, when: string): Rule {
  return {
    rule: `!(${condition}) || has(self.${member})`,
    message: `${member} is required with ${when}`,
    fieldPath: `.${member}`,
    reason: 'FieldValueRequired',
  };
}

export function onlyWhen(member: string, condition: string, when: string): Rule {
  return {
    rule: `${condition} || !has(self.${member})`,
    message: `${member} is only for ${when}`,
    fieldPath: `.${member}`,
    reason: 'FieldValueForbidden',
  };
}

/** The whole text has this form (RE2). Says so in words, where a `pattern` would show the expression to the author of a manifest. */
export function form(re2: string, message: string): Rule {
  return { rule: `self.matches(r'^(${re2})$')`, message };
}

function celRules(rules: readonly Rule[] | undefined): object {
  return rules === undefined || rules.length === 0 ? {} : { 'x-kubernetes-validations': rules };
}
