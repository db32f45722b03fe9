import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

interface Definition {
  readonly properties?: Readonly<Record<string, unknown>>;
  readonly additionalProperties?: unknown;
  readonly 'x-kubernetes-group-version-kind'?: readonly { readonly group: string; readonly version: string; readonly kind: string }[];
}

type Definitions = ReadonlyMap<string, Definition>;

/** Writes an API server's OpenAPI document as the files that kubeconform looks for: `KIND-GROUP-VERSION.json`, strict about unknown members. */
export async function writeSchemas(dir: string, document: { readonly definitions: Readonly<Record<string, Definition>> }): Promise<void> {
  const all = new Map(Object.entries(document.definitions).map(([name, definition]) => [name, closed(name, definition)] as const));
  for (const [name, definition] of all) {
    for (const { group, version, kind } of definition['x-kubernetes-group-version-kind'] ?? []) {
      const suffix = group === '' ? `-${version}` : `-${group.split('.')[0]}-${version}`;
      const schema = { $ref: `#/definitions/${name}`, definitions: Object.fromEntries(reachable(name, all)) };
      await writeFile(join(dir, `${kind.toLowerCase()}${suffix}.json`), JSON.stringify(schema));
    }
  }
}

function closed(name: string, definition: Definition): Definition {
  // Written as text or as a number, and described as neither.
  if (/\.(IntOrString|Quantity)$/.test(name)) return { additionalProperties: true };
  const isOpen = definition.properties !== undefined && definition.additionalProperties === undefined;
  return isOpen ? { ...definition, additionalProperties: false } : definition;
}

/** All of them in every file would be thousands, compiled again for each kind. */
function reachable(name: string, all: Definitions, found = new Map<string, Definition>()): Definitions {
  const definition = all.get(name);
  if (definition === undefined || found.has(name)) return found;
  found.set(name, definition);
  for (const [, next] of JSON.stringify(definition).matchAll(/"#\/definitions\/([^"]+)"/g)) reachable(next ?? '', all, found);
  return found;
}
