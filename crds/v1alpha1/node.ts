/** A schema as data: what the walk, the CRD generator and the reference read. */
import { NOT_YET, type Rule, type TSchema } from './schema.ts';

export interface Node {
  readonly type: 'object' | 'array' | 'string' | 'integer' | 'boolean';
  readonly description: string;
  readonly default?: unknown;
  readonly properties?: { readonly [name: string]: Node };
  readonly required?: readonly string[];
  readonly items?: Node;
  readonly enum?: readonly string[];
  readonly pattern?: string;
  readonly format?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly 'x-kubernetes-list-type'?: 'atomic' | 'set' | 'map';
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
  readonly 'x-kubernetes-validations'?: readonly Rule[];
  readonly [NOT_YET]?: true | readonly string[];
}

/** Schemas are made by the builders of schema.ts alone, which give nothing that a Node has not. */
export function asNode(schema: TSchema): Node {
  return schema as Node;
}

/** Members that a manifest must have: those with a default need not be there. */
export function requiredMembers(node: Node): readonly string[] {
  return (node.required ?? []).filter((name) => node.properties?.[name]?.default === undefined);
}

export function isNotYetEnforced(node: Node): boolean {
  return node[NOT_YET] === true;
}

export function notYetEnforcedValues(node: Node): readonly string[] {
  const values = node[NOT_YET];
  return values === undefined || values === true ? [] : values;
}

/** What the API server and our validator both say of a member that is refused for now. */
export function notYetMember(name: string): string {
  return `${name} is not yet enforced`;
}

export function notYetValue(value: string): string {
  return `"${value}" is not yet enforced`;
}

/** The CEL rules of a node as the CRD carries them: its own, and those that refuse what is not yet enforced. */
export function rulesOf(node: Node): readonly Rule[] {
  const values = notYetEnforcedValues(node).map((value): Rule => ({ rule: `self != '${value}'`, message: notYetValue(value) }));
  const members = Object.entries(node.properties ?? {})
    .filter(([, member]) => isNotYetEnforced(member))
    .map(
      ([name]): Rule => ({
        rule: `!has(self.${name})`,
        message: notYetMember(name),
        fieldPath: `.${name}`,
        reason: 'FieldValueForbidden',
      }),
    );
  return [...values, ...members, ...(node['x-kubernetes-validations'] ?? [])];
}
