/** A real API server with our CRDs, and the operator's webhooks in this process. */
import { mkdtempSync, rmSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { type ControlPlane, startControlPlane } from '#e2e/cluster/control-plane.ts';
import { type Kubectl, kubectlOf } from '#e2e/cluster/kubectl.ts';
import { waitFor } from '#e2e/cluster/ready.ts';
import { webhookConfiguration } from '#operator/admission/configuration.ts';
import type { ServingCertificates } from '#operator/admission/serving.ts';
import { type Admission, type AdmissionOptions, startAdmission } from '#operator/admission/start.ts';
import { connect, type KubeClient } from '#operator/kube/client.ts';
import { ownCertificate } from '#sidecar/listener/certificate.ts';

export const OPERATOR = { namespace: 'chaperone-system', serviceAccount: 'chaperone-operator' };
export const OPERATOR_USER = `system:serviceaccount:${OPERATOR.namespace}:${OPERATOR.serviceAccount}`;
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface Stage {
  readonly plane: ControlPlane;
  readonly kubectl: Kubectl;
  /** As the operator's own service account. */
  readonly kube: KubeClient;
  /** kubectl of somebody with the rights of an approver. */
  approver(name: string, groups?: readonly string[]): Promise<Kubectl>;
  readonly admission: Admission;
  /** Takes the webhook server away, and brings it back on the same port. */
  stopAdmission(): Promise<void>;
  startAdmission(): Promise<void>;
  /** A leaf of a new CA from now on. */
  rotate(): Promise<void>;
  close(): Promise<void>;
}

export async function openStage(over: Partial<Pick<AdmissionOptions, 'podProblems' | 'mutate'>> = {}): Promise<Stage> {
  const dir = mkdtempSync(join(tmpdir(), 'chaperone-stage-'));
  const plane = await startControlPlane();
  const kubectl = kubectlOf(plane.kubeconfig);
  await apply(kubectl, await crds(), RBAC);
  const kube = connect(await plane.kubeconfigOf(OPERATOR_USER, ['system:serviceaccounts']));
  const certificates = await rotating(dir);
  const serve = (port: number) =>
    startAdmission({
      ...OPERATOR,
      kube,
      host: '127.0.0.1',
      port,
      certificates,
      mutate: over.mutate ?? (() => ({ allowed: true })),
      podProblems: over.podProblems ?? (() => []),
      now: Date.now,
      log: { info: () => {}, warn: (_, message) => warned.push(message), error: (_, message) => warned.push(message) },
    });
  const warned: string[] = [];
  let admission = await serve(0);
  const { port } = admission;
  const clientConfig = (path: string) => ({ url: `https://127.0.0.1:${port}${path}` });
  for (const type of ['Validating', 'Mutating'] as const)
    await apply(kubectl, stringify(webhookConfiguration(type, { ...OPERATOR, clientConfig })));
  const caIsWritten = () => waitFor('the CA in the webhook configurations', async () => admission.caWritten || undefined);
  await caIsWritten();
  return {
    plane,
    kubectl,
    kube,
    approver: async (name, groups = ['leads']) => kubectlOf(await plane.kubeconfigOf(name, ['approvers', ...groups])),
    get admission() {
      return admission;
    },
    stopAdmission: () => admission.close(100),
    startAdmission: async () => {
      admission = await serve(port);
      await caIsWritten();
    },
    rotate: certificates.rotate,
    close: async () => {
      await admission.close(100);
      certificates.close();
      kube.close();
      await plane.stop();
      rmSync(dir, { recursive: true });
    },
  };
}

/** Our own certificates; a new CA comes with the old one still trusted, and is trusted before it is used. */
async function rotating(dir: string): Promise<ServingCertificates & { rotate(): Promise<void> }> {
  const listeners = new Set<() => void>();
  let generation = 0;
  const make = async () => ownCertificate(join(dir, `ca-${++generation}`), [], new Date());
  const first = await make();
  let current = { chain: String(first.certificate), key: String(first.key), bundle: first.ca };
  const tell = () => {
    for (const listener of [...listeners]) listener();
  };
  return {
    get current() {
      return current;
    },
    onChange: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    close: () => listeners.clear(),
    rotate: async () => {
      const next = await make();
      current = { ...current, bundle: current.bundle + next.ca };
      tell();
      // The API server looks at a changed configuration within a second or so.
      await new Promise((resolve) => setTimeout(resolve, 3000));
      current = { chain: String(next.certificate), key: String(next.key), bundle: current.bundle };
      tell();
    },
  };
}

export async function apply(kubectl: Kubectl, ...documents: readonly string[]): Promise<void> {
  await kubectl(['apply', '--server-side', '-f', '-'], { input: documents.join('\n---\n') });
}

async function crds(): Promise<string> {
  const folder = join(ROOT, 'crds/manifests');
  const files = (await readdir(folder)).filter((name) => name.endsWith('.yaml'));
  return (await Promise.all(files.map((name) => readFile(join(folder, name), 'utf8')))).join('\n---\n');
}

/** The operator has what it needs for these tests; approvers may read, and write decisions. */
const RBAC = [
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name: 'operator' },
    rules: [
      { apiGroups: ['chaperone.dev'], resources: ['*'], verbs: ['get', 'list', 'watch'] },
      { apiGroups: ['chaperone.dev'], resources: ['approvalrequests'], verbs: ['create', 'delete'] },
      { apiGroups: ['chaperone.dev'], resources: ['approvalrequests/status'], verbs: ['patch'] },
      { apiGroups: [''], resources: ['pods', 'namespaces'], verbs: ['get', 'list', 'watch'] },
      { apiGroups: ['authorization.k8s.io'], resources: ['subjectaccessreviews'], verbs: ['create'] },
      {
        apiGroups: ['admissionregistration.k8s.io'],
        resources: ['validatingwebhookconfigurations', 'mutatingwebhookconfigurations'],
        resourceNames: ['chaperone'],
        verbs: ['get', 'patch'],
      },
    ],
  },
  binding('operator', { kind: 'User', name: OPERATOR_USER }),
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name: 'approver' },
    rules: [
      { apiGroups: ['chaperone.dev'], resources: ['approvalrequests', 'approvaldecisions'], verbs: ['get', 'list', 'watch'] },
      { apiGroups: ['chaperone.dev'], resources: ['approvaldecisions'], verbs: ['create'] },
    ],
  },
  binding('approver', { kind: 'Group', name: 'approvers' }),
]
  .map((object) => stringify(object))
  .join('\n---\n');

function binding(name: string, subject: { readonly kind: string; readonly name: string }): object {
  return {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
    subjects: [{ ...subject, apiGroup: 'rbac.authorization.k8s.io' }],
  };
}
