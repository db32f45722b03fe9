/** docs/api.md: the reference of the four kinds, from the same schemas as everything else. */

import { API_VERSION, KINDS, type KindDefinition } from './kinds.ts';
import { DNS_LABEL, DNS_SUBDOMAIN } from './names.ts';
import { asNode, isNotYetEnforced, type Node, notYetEnforcedValues, requiredMembers } from './node.ts';
import { CONDITION_TYPE, status as plainStatus, policyStatus, resourceStatus } from './status.ts';

const INTRODUCTION = `# API reference

<!-- Generated from crds/v1alpha1 by \`npm run generate\`. Do not edit. -->

Four kinds, all of \`${API_VERSION}\`, all namespaced, all in category \`chaperone\` (\`kubectl get chaperone\`).
An AccessPolicy, a MaskingRule and an ApprovalGate apply to the ProtectedResources of their own namespace, and to no other.
[examples/quickstart](../examples/quickstart) holds one of each, with comments.

How it reads:

- A field with a default may be left out; **required** ones may not. Everything else is optional, and its text says what its absence means.
- Unknown fields are refused, not dropped. What is named here as *not yet enforced* is refused too.
- Lengths are in characters. A list *by name* has no two items of one name, and server-side apply merges it item by item.
- \`chaperone validate\` says what the API server says, and more: it compiles conditions and patterns.
`;

export function apiReference(): string {
  const kinds = Object.values(KINDS);
  const contents = kinds.map(({ kind, spec }) => `- [${kind}](#${kind.toLowerCase()}): ${firstSentence(asNode(spec).description)}`);
  return [INTRODUCTION, contents.join('\n'), ...kinds.map(section), statusSection()].join('\n');
}

function section(definition: KindDefinition): string {
  const spec = asNode(definition.spec);
  return [
    '',
    `## ${definition.kind}`,
    '',
    spec.description,
    '',
    `Short name: \`${definition.shortName}\`. Plural: \`${definition.plural}\`.`,
    '',
    ...table('spec', spec),
    ...rules('spec', spec),
  ].join('\n');
}

/** The status of the kinds that sidecars enforce holds all that the others hold. */
function statusSection(): string {
  const status = asNode(policyStatus);
  const resource = asNode(resourceStatus);
  const own = (node: Node) => Object.keys(node.properties ?? {}).filter((name) => asNode(plainStatus).properties?.[name] === undefined);
  const names = (node: Node) =>
    own(node)
      .map((name) => `\`${name}\``)
      .join(' and ');
  const further = Object.fromEntries(own(resource).map((name) => [name, resource.properties?.[name] as Node]));
  return [
    '',
    '## Status',
    '',
    status.description,
    `Only AccessPolicy and MaskingRule have ${names(status)}, and only a ProtectedResource ${names(resource)}.`,
    '',
    ...table('status', { ...status, properties: { ...status.properties, ...further } }),
  ].join('\n');
}

function table(path: string, node: Node): readonly string[] {
  return ['| Field | Type | Default | Meaning |', '| --- | --- | --- | --- |', ...rows(path, node), ''];
}

function rows(path: string, node: Node): readonly string[] {
  const required = requiredMembers(node);
  return Object.entries(node.properties ?? {}).flatMap(([name, member]) => {
    const at = `${path}.${name}`;
    const presence = required.includes(name) ? '**required**' : defaultOf(member);
    const row = `| \`${at}\` | ${escaped(typeOf(member))} | ${presence} | ${escaped(member.description)} |`;
    return isNotYetEnforced(member) ? [row] : [row, ...inner(at, member)];
  });
}

function inner(path: string, node: Node): readonly string[] {
  if (node.type === 'object') return rows(path, node);
  if (node.type === 'array' && node.items?.type === 'object') return rows(`${path}[]`, node.items);
  return [];
}

function defaultOf(node: Node): string {
  if (node.default === undefined) return '';
  return node.type === 'object' ? 'its defaults' : `\`${JSON.stringify(node.default)}\``;
}

function typeOf(node: Node): string {
  if (isNotYetEnforced(node)) return `${node.type}, *not yet enforced*`;
  switch (node.type) {
    case 'array': {
      const keys = node['x-kubernetes-list-map-keys'];
      const by = keys === undefined ? '' : ` by ${keys.join(' and ')}`;
      const items = node.items?.type === 'object' ? '' : ` of ${node.items === undefined ? 'any' : typeOf(node.items)}`;
      return `${node['x-kubernetes-list-type'] === 'set' ? 'set' : 'list'}${by}${items}, ${range(node.minItems ?? 0, node.maxItems)}`;
    }
    case 'integer':
      return `integer, ${range(node.minimum ?? 0, node.maximum)}`;
    case 'string':
      return node.enum === undefined ? textType(node) : enumType(node);
    case 'object':
    case 'boolean':
      return node.type;
    default:
      return node.type satisfies never;
  }
}

function textType(node: Node): string {
  const form = node.pattern === undefined ? '' : `, ${FORMS[node.pattern] ?? `form \`${node.pattern}\``}`;
  return `string, at most ${node.maxLength}${node.format === undefined ? '' : `, ${node.format}`}${form}`;
}

const FORMS: { readonly [pattern: string]: string } = {
  [DNS_LABEL]: 'lower-case letters, digits and `-`',
  [DNS_SUBDOMAIN]: 'the name of an object',
  [CONDITION_TYPE]: 'CamelCase',
};

function enumType(node: Node): string {
  const refused = notYetEnforcedValues(node);
  return (node.enum ?? [])
    .filter((value) => !refused.includes(value))
    .map((value) => `\`${value}\``)
    .join(', ');
}

function range(from: number, to: number | undefined): string {
  return `${from} to ${to}`;
}

/** What the CEL rules say, by the field that carries them. */
function rules(path: string, node: Node): readonly string[] {
  const lines = rulesBelow(path, node);
  return lines.length === 0 ? [] : ['Rules, worded as their messages:', '', ...lines, ''];
}

function rulesBelow(path: string, node: Node): readonly string[] {
  if (isNotYetEnforced(node)) return [];
  const own = (node['x-kubernetes-validations'] ?? []).map(
    ({ message, fieldPath = '' }) => `- \`${path}${fieldPath}\`: ${message.replaceAll('*', '\\*')}`,
  );
  const members = Object.entries(node.properties ?? {}).flatMap(([name, member]) => rulesBelow(`${path}.${name}`, member));
  return [...own, ...members, ...(node.items === undefined ? [] : rulesBelow(`${path}[]`, node.items))];
}

function firstSentence(text: string): string {
  return text.slice(0, text.indexOf('.') + 1);
}

function escaped(text: string): string {
  return text.replaceAll('|', '\\|');
}
