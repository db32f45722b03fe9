/** What Helm makes of the charts. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';
import { binary } from '#e2e/cluster/binaries.ts';
import { ROOT } from '#e2e/repo/tree.ts';

export const NAMESPACE = 'chaperone-system';

export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly annotations?: Readonly<Record<string, string>> };
  readonly [member: string]: unknown;
}

/** Rejects with what helm said. */
export async function helm(...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(await binary('helm'), args, { cwd: ROOT, maxBuffer: 1 << 26 });
  return stdout;
}

export function render(chart: 'chaperone' | 'chaperone-crds', ...args: string[]): Promise<string> {
  return helm('template', chart, join('charts', chart), '--namespace', NAMESPACE, ...args);
}

export function objectsIn(text: string): KubeObject[] {
  return parseAllDocuments(text).flatMap((document) => {
    if (document.errors.length > 0) throw new Error(document.errors.map(({ message }) => message).join('\n'));
    return document.contents === null ? [] : [document.toJS() as KubeObject];
  });
}

/** The content of charts/install.yaml: both charts with default values, the namespace, and no hooks. `chaperone install` puts the registry in. */
export async function installManifests(): Promise<string> {
  const namespace = `apiVersion: v1\nkind: Namespace\nmetadata:\n  name: ${NAMESPACE}\n`;
  const values = ['--set', 'image.registry=registry.invalid/chaperone', '--set', 'check.enabled=false'];
  const [crds, chart] = [await render('chaperone-crds'), await render('chaperone', ...values)];
  const header = '# Generated from charts/ by e2e/charts/templates.test.ts with --update. Do not edit.\n';
  return `${header}---\n${namespace}${withoutBlank(crds)}${withoutBlank(chart)}`;
}

function withoutBlank(text: string): string {
  return text
    .replace(/\n{2,}/g, '\n')
    .trimEnd()
    .concat('\n');
}
