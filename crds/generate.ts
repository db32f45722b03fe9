/**
 * Writes what is generated: from crds/v1alpha1 the CRDs (crds/manifests) and the reference (docs/api.md), from crds/policy/limits.ts
 * docs/limits.md.
 * With `--check` it writes nothing, names what has drifted, and fails.
 */
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { driftOf, type GeneratedFiles, tellDrift, writeGenerated } from './generated.ts';
import { limitsPage } from './limits-page.ts';
import { customResourceDefinition, internalResourceDefinition } from './v1alpha1/crd.ts';
import { INTERNAL_KINDS } from './v1alpha1/internal-kinds.ts';
import { GROUP, KINDS } from './v1alpha1/kinds.ts';
import { apiReference } from './v1alpha1/reference.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const HEADER = '# Generated from crds/v1alpha1 by `npm run generate`. Do not edit.\n';

/** Path from the root of the repository to content. */
export function generatedFiles(): GeneratedFiles {
  const manifest = (plural: string, crd: object) => [`crds/manifests/${GROUP}_${plural}.yaml`, HEADER + yaml(crd)] as const;
  const manifests = Object.values(KINDS).map(({ kind, plural }) => manifest(plural, customResourceDefinition(kind)));
  const internal = Object.values(INTERNAL_KINDS).map(({ kind, plural }) => manifest(plural, internalResourceDefinition(kind)));
  return new Map([...manifests, ...internal, ['docs/api.md', apiReference()] as const, ['docs/limits.md', limitsPage()] as const]);
}

/** What is on disk and not what it should be, in words; empty where there is no drift. */
export function drift(root: string): readonly string[] {
  return driftOf(root, generatedFiles(), 'crds/manifests');
}

function yaml(value: object): string {
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });
}

function main(check: boolean): number {
  if (check) return tellDrift(drift(ROOT));
  writeGenerated(ROOT, generatedFiles());
  return 0;
}

if (import.meta.main) process.exitCode = main(process.argv.includes('--check'));
