/**
 * Writes what is generated for charts/: the CRDs of chaperone-crds, the webhooks' configurations, both READMEs from the comments of values.yaml, and Argo CD's settings in examples/gitops.
 * With `--check` it writes nothing, names what has drifted, and fails.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { PORTS } from '#crds/control/names.ts';
import { generatedFiles as crdFiles } from '#crds/generate.ts';
import { driftOf, type GeneratedFiles, tellDrift, writeGenerated } from '#crds/generated.ts';
import { GROUP, KINDS } from '#crds/v1alpha1/kinds.ts';
import { serviceClientConfig, webhookConfiguration } from '#operator/admission/configuration.ts';
import type { WebhookType } from '#operator/admission/webhooks.ts';
import { valuesTable } from './values-table.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const TEMPLATES = 'charts/chaperone-crds/templates';
const CHARTS = ['chaperone', 'chaperone-crds'] as const;
const WEBHOOK_TYPES = ['Validating', 'Mutating'] as const satisfies readonly WebhookType[];
const MARKER = '<!-- values -->';

/** Path from the root of the repository to content. */
export function generatedFiles(root: string): GeneratedFiles {
  const crds = [...crdFiles()]
    .filter(([path]) => path.startsWith('crds/manifests/'))
    .map(([path, text]) => [path.replace('crds/manifests', TEMPLATES), template(text)] as const);
  const readmes = CHARTS.map((chart) => [`charts/${chart}/README.md`, readme(root, chart)] as const);
  const webhooks = WEBHOOK_TYPES.map(
    (type) => [`charts/chaperone/templates/webhook-${type.toLowerCase()}.yaml`, webhookTemplate(type)] as const,
  );
  return new Map([...crds, ...webhooks, ...readmes, ['examples/gitops/argocd/argocd-cm.yaml', argoSettings(root)] as const]);
}

/** The operator's own table, with what only the release knows left open. */
function webhookTemplate(type: WebhookType): string {
  const names = { namespace: 'release-namespace', serviceAccount: 'chaperone-operator' };
  const clientConfig = serviceClientConfig(names.namespace, 'chaperone', PORTS.webhook);
  const options = { ...names, clientConfig, timeoutSeconds: 999, reinvocationPolicy: 'Never' as const };
  const open = [
    [/^metadata:\n {2}name: chaperone\n/m, METADATA],
    [/release-namespace/g, '{{ .Release.Namespace }}'],
    [/timeoutSeconds: 999/g, 'timeoutSeconds: {{ .Values.webhook.timeoutSeconds }}'],
    [/reinvocationPolicy: Never/g, 'reinvocationPolicy: {{ .Values.webhook.reinvocationPolicy }}'],
  ] as const;
  const text = stringify(webhookConfiguration(type, options), { lineWidth: 0, aliasDuplicateObjects: false });
  const header = '# Generated from operator/admission/webhooks.ts by `npm run generate`. Do not edit.\n';
  return `${header}${open.reduce((filled, [pattern, by]) => filled.replace(pattern, () => by), text)}`;
}

const METADATA = `metadata:
  name: chaperone
  labels:
    {{- include "chaperone.labels" . | nindent 4 }}
  {{- if .Values.certManager.enabled }}
  annotations:
    cert-manager.io/inject-ca-from: {{ .Release.Namespace }}/chaperone-webhook
  {{- end }}
`;

/** One check for all kinds that people write: Argo CD wants it under each kind's name. */
function argoSettings(root: string): string {
  const script = readFileSync(join(root, 'charts/argocd/health.lua'), 'utf8');
  const indented = script.replace(/^(?=.)/gm, '    ');
  const entries = Object.keys(KINDS).map((kind) => `  resource.customizations.health.${GROUP}_${kind}: |\n${indented}`);
  return `# Generated from charts/argocd/health.lua by \`npm run generate\`. Merge it into Argo CD's own ConfigMap.
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
  namespace: argocd
  labels:
    app.kubernetes.io/name: argocd-cm
    app.kubernetes.io/part-of: argocd
data:
${entries.join('')}`;
}

/** The manifest as a template: kept at uninstall, and with its own braces left alone. */
function template(text: string): string {
  const escaped = text.replaceAll('{{', '{{ "{{" }}');
  const kept = escaped.replace(
    /^metadata:\n/m,
    'metadata:\n  {{- if .Values.keep }}\n  annotations:\n    helm.sh/resource-policy: keep\n  {{- end }}\n',
  );
  if (kept === escaped) throw new Error('a CRD without metadata');
  return kept;
}

function readme(root: string, chart: string): string {
  const folder = join(root, 'charts', chart);
  const text = readFileSync(join(folder, 'README.template.md'), 'utf8');
  if (!text.includes(MARKER)) throw new Error(`${folder}/README.template.md has no ${MARKER}`);
  return text.replace(MARKER, () => valuesTable(readFileSync(join(folder, 'values.yaml'), 'utf8')));
}

/** What is on disk and not what it should be, in words; empty where there is no drift. */
export function drift(root: string): readonly string[] {
  return driftOf(root, generatedFiles(root), TEMPLATES);
}

function main(check: boolean): number {
  if (check) return tellDrift(drift(ROOT));
  writeGenerated(ROOT, generatedFiles(ROOT));
  return 0;
}

if (import.meta.main) process.exitCode = main(process.argv.includes('--check'));
