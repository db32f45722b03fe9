/**
 * Writes what is generated from crds/v1alpha1: the CRDs (crds/manifests) and the reference (docs/api.md).
 * With `--check` it writes nothing, names what has drifted, and fails.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { customResourceDefinition, internalResourceDefinition } from './v1alpha1/crd.ts';
import { INTERNAL_KINDS } from './v1alpha1/internal-kinds.ts';
import { GROUP, KINDS } from './v1alpha1/kinds.ts';
import { apiReference } from './v1alpha1/reference.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const HEADER = '# Generated from crds/v1alpha1 by `npm run generate`. Do not edit.\n';

/** Path from the root of the repository to content. */
export function generatedFiles(): ReadonlyMap<string, string> {
  const manifest = (plural: string, crd: object) => [`crds/manifests/${GROUP}_${plural}.yaml`, HEADER + yaml(crd)] as const;
  const manifests = Object.values(KINDS).map(({ kind, plural }) => manifest(plural, customResourceDefinition(kind)));
  const internal = Object.values(INTERNAL_KINDS).map(({ kind, plural }) => manifest(plural, internalResourceDefinition(kind)));
  return new Map([...manifests, ...internal, ['docs/api.md', apiReference()] as const]);
}

/** What is on disk and not what it should be, in words; empty where there is no drift. */
export function drift(root: string): readonly string[] {
  const files = generatedFiles();
  const changed = [...files].filter(([path, content]) => read(join(root, path)) !== content).map(([path]) => `${path} is out of date`);
  const stray = readdirSync(join(root, 'crds/manifests'))
    .map((name) => `crds/manifests/${name}`)
    .filter((path) => !files.has(path))
    .map((path) => `${path} is not generated`);
  return [...changed, ...stray];
}

function yaml(value: object): string {
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

function main(check: boolean): number {
  if (check) {
    const problems = drift(ROOT);
    for (const problem of problems) console.error(`${problem}: run \`npm run generate\``);
    return problems.length === 0 ? 0 : 1;
  }
  for (const [path, content] of generatedFiles()) {
    mkdirSync(dirname(join(ROOT, path)), { recursive: true });
    writeFileSync(join(ROOT, path), content);
    console.log(`wrote ${path}`);
  }
  return 0;
}

if (import.meta.main) process.exitCode = main(process.argv.includes('--check'));
