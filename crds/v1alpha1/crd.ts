/** The CustomResourceDefinition of a kind, as an object. */
import { INTERNAL_KINDS, type InternalKind } from './internal-kinds.ts';
import { GROUP, KINDS, type Kind, type PrinterColumn, VERSION } from './kinds.ts';
import { asNode, type Node, requiredMembers, rulesOf } from './node.ts';
import { NOT_YET, type TSchema } from './schema.ts';

interface JsonObject {
  readonly [key: string]: unknown;
}

/** What both tables of kinds have. */
interface Definition {
  readonly kind: Kind | InternalKind;
  readonly plural: string;
  readonly singular: string;
  readonly shortName: string;
  readonly spec: TSchema;
  readonly status?: TSchema;
  readonly unlisted?: true;
}

export function customResourceDefinition(kind: Kind): JsonObject {
  return definitionObject(KINDS[kind], readyColumns(KINDS[kind].columns));
}

export function internalResourceDefinition(kind: InternalKind): JsonObject {
  return definitionObject(INTERNAL_KINDS[kind], [...INTERNAL_KINDS[kind].columns, AGE]);
}

function definitionObject(definition: Definition, columns: readonly PrinterColumn[]): JsonObject {
  const { kind } = definition;
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${definition.plural}.${GROUP}` },
    spec: {
      group: GROUP,
      scope: 'Namespaced',
      names: {
        kind,
        listKind: `${kind}List`,
        plural: definition.plural,
        singular: definition.singular,
        shortNames: [definition.shortName],
        ...(definition.unlisted ? {} : { categories: ['chaperone'] }),
      },
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          schema: { openAPIV3Schema: rootSchema(definition) },
          ...(definition.status === undefined ? {} : { subresources: { status: {} } }),
          additionalPrinterColumns: columns.map((column) => ({ ...column })),
        },
      ],
    },
  };
}

function rootSchema(definition: Definition): JsonObject {
  const spec = asNode(definition.spec);
  return {
    description: spec.description,
    type: 'object',
    required: ['spec'],
    properties: {
      apiVersion: { type: 'string', description: 'Always `chaperone.dev/v1alpha1`.' },
      kind: { type: 'string', description: `Always \`${definition.kind}\`.` },
      metadata: { type: 'object' },
      spec: structural(spec),
      ...(definition.status === undefined ? {} : { status: structural(asNode(definition.status)) }),
    },
  };
}

/** A node in the words of a structural schema: without what only we and typebox know, with the rules that refuse what is not yet enforced. */
function structural(node: Node): JsonObject {
  const known = Object.entries(node).filter(([key]) => !DROPPED.has(key) && !key.startsWith('~'));
  const required = requiredMembers(node);
  const rules = rulesOf(node);
  return {
    ...Object.fromEntries(known),
    ...(required.length > 0 ? { required } : {}),
    ...(node.properties === undefined ? {} : { properties: mapValues(node.properties, structural) }),
    ...(node.items === undefined ? {} : { items: structural(node.items) }),
    ...(rules.length > 0 ? { 'x-kubernetes-validations': rules } : {}),
  };
}

const DROPPED: ReadonlySet<string> = new Set([NOT_YET, 'required', 'properties', 'items', 'x-kubernetes-validations']);

function mapValues<V, W>(values: { readonly [key: string]: V }, change: (value: V) => W): { readonly [key: string]: W } {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, change(value)]));
}

const AGE: PrinterColumn = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp', description: 'Time since it was created' };

function readyColumns(columns: readonly PrinterColumn[]): readonly PrinterColumn[] {
  const ready = '.status.conditions[?(@.type=="Ready")]';
  return [
    { name: 'Ready', type: 'string', jsonPath: `${ready}.status`, description: 'Whether it is accepted, resolved and programmed' },
    ...columns,
    { name: 'Reason', type: 'string', jsonPath: `${ready}.reason`, description: 'Why it is or is not ready', priority: 1 },
    { name: 'Message', type: 'string', jsonPath: `${ready}.message`, description: 'The same in a sentence', priority: 1 },
    AGE,
  ];
}
