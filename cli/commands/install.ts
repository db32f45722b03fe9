import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { K8s, kind } from 'kubernetes-fluent-client';
import { parseAllDocuments } from 'yaml';
import { CliError, EXIT, usageError } from '../exit.ts';
import type { Io } from '../io.ts';
import { type Common, seconds } from '../options.ts';
import { isBundled } from '../version.ts';

export interface InstallOptions extends Common {
  /** Where the images of operator and sidecar were pushed to. */
  readonly registry: string;
  readonly print?: boolean;
  /** A duration; `0s`: don't wait. */
  readonly wait: string;
}

interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

interface Deployment {
  readonly metadata: { readonly generation: number };
  readonly spec: { readonly replicas: number };
  readonly status?: { readonly observedGeneration?: number; readonly availableReplicas?: number };
}

const CRDS = { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition' };
const DEPLOYMENTS = { apiVersion: 'apps/v1', kind: 'Deployment' };

const PLACEHOLDER = 'registry.invalid/chaperone';
const NAMESPACE = 'chaperone-system';
const PLURALS: { readonly [kind: string]: string } = { NetworkPolicy: 'networkpolicies' };

/**
 * Applies the CRDs and the chart with its default values, rendered at build time, by server-side apply. What needs other values needs Helm.
 * The kubeconfig is the one that kubectl would take.
 */
export async function install(options: InstallOptions, io: Io): Promise<number> {
  const text = manifests(options.registry);
  const waitSeconds = options.wait === '0s' ? 0 : seconds('--wait', options.wait, 3600);
  if (options.print) {
    io.stdout.write(text);
    return EXIT.ok;
  }
  const objects = parseAllDocuments(text).flatMap((document) => (document.contents === null ? [] : [document.toJS() as KubeObject]));
  for (const object of objects) {
    await applyObject(object);
    io.stdout.write(`${nameOf(object)} applied\n`);
    if (object.kind === 'CustomResourceDefinition') await established(object.metadata.name);
  }
  if (waitSeconds > 0 && !(await available(waitSeconds))) {
    io.stderr.write(`the operator is not available after ${options.wait}: kubectl -n ${NAMESPACE} describe pods\n`);
    return EXIT.failed;
  }
  io.stdout.write(`chaperone is installed in ${NAMESPACE}\n`);
  return EXIT.ok;
}

/** The rendered manifests with the registry put in. */
export function manifests(registry: string): string {
  if (!/^[a-z0-9]([-a-z0-9.:_/]*[a-z0-9])?$/.test(registry))
    throw usageError('--registry: HOST/PATH, as in registry.example.com/chaperone');
  // The two are found from where this code is, which is elsewhere in a bundle.
  const file = isBundled() ? new URL('./install.yaml', import.meta.url) : new URL('../../charts/install.yaml', import.meta.url);
  return readFileSync(fileURLToPath(file), 'utf8').replaceAll(PLACEHOLDER, registry);
}

async function applyObject(object: KubeObject): Promise<void> {
  try {
    // Nobody else manages these fields: what another tool installed before is taken over.
    await client(object).Apply(object, { force: true });
  } catch (error: unknown) {
    throw new CliError(`${nameOf(object)} could not be applied: ${reasonOf(error)}`);
  }
}

/** By its kind and not by a class of the client's: bundling renames classes, and the client goes by their names. */
function client({ apiVersion, kind: name }: Pick<KubeObject, 'apiVersion' | 'kind'>) {
  const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : ['', apiVersion];
  return K8s(kind.GenericKind, {
    kindOverride: { group: group ?? '', version: version ?? '', kind: name, plural: PLURALS[name] ?? `${name.toLowerCase()}s` },
  });
}

/** Objects of a kind can be written only once the API server serves it. */
async function established(name: string): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const { status } = (await client(CRDS).Get(name)) as { status?: { conditions?: { type: string; status: string }[] } };
    if (status?.conditions?.some(({ type, status: holds }) => type === 'Established' && holds === 'True')) return;
    await sleep(100);
  }
  throw new CliError(`the API server does not serve ${name}`);
}

async function available(forSeconds: number): Promise<boolean> {
  const end = Date.now() + forSeconds * 1000;
  while (Date.now() < end) {
    const { metadata, spec, status } = (await client(DEPLOYMENTS).InNamespace(NAMESPACE).Get('chaperone-operator')) as Deployment;
    if (status?.observedGeneration === metadata.generation && (status?.availableReplicas ?? 0) >= spec.replicas) return true;
    await sleep(500);
  }
  return false;
}

function nameOf({ kind: name, metadata }: KubeObject): string {
  return `${name} ${metadata.namespace === undefined ? '' : `${metadata.namespace}/`}${metadata.name}`;
}

/** The client throws what the API server answered, or what the connection said. */
function reasonOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return 'no reason was given';
  const { data, message } = error as { readonly data?: { readonly message?: unknown }; readonly message?: unknown };
  const reason = data?.message ?? message;
  return typeof reason === 'string' ? reason : 'no reason was given';
}
