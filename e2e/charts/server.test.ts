/** The charts against a real API server: schemas, server-side dry run, the check of the webhook, and `chaperone install`. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { binary } from '#e2e/cluster/binaries.ts';
import { cliProgram } from '#e2e/cluster/config.ts';
import { type ControlPlane, startControlPlane } from '#e2e/cluster/control-plane.ts';
import { type Kubectl, kubectlOf } from '#e2e/cluster/kubectl.ts';
import { ROOT } from '#e2e/repo/tree.ts';
import { type KubeObject, NAMESPACE, objectsIn, render } from './render.ts';
import { writeSchemas } from './schemas.ts';

const run = promisify(execFile);
const VALUES = ['default', 'full', 'least'] as const;
const EXAMPLES = ['kubernetes-quickstart', 'gitops/policies', 'least-privilege-ci-agent', 'ai-agent-with-approval'];
/** Kinds of other operators, which this API server does not know. */
const FOREIGN = /^(monitoring\.coreos\.com|cert-manager\.io)\//;
const list = (items: readonly unknown[]) => JSON.stringify({ apiVersion: 'v1', kind: 'List', items });

describe('the charts and a real API server', { timeout: 600_000 }, () => {
  let plane: ControlPlane;
  let kubectl: Kubectl;
  let dir: string;

  before(async () => {
    plane = await startControlPlane();
    kubectl = kubectlOf(plane.kubeconfig);
    dir = await mkdtemp(join(tmpdir(), 'chaperone-charts-'));
    await kubectl(['create', 'namespace', NAMESPACE]);
    // A dry run leaves nothing behind, and a Pod is not taken without its account.
    await kubectl(['-n', NAMESPACE, 'create', 'serviceaccount', 'chaperone-check']);
    for (const namespace of ['shop', 'crm']) await kubectl(['create', 'namespace', namespace]);
  });
  after(async () => {
    await plane?.stop();
    if (dir) await rm(dir, { recursive: true, force: true });
  });

  it('the CRDs are taken, and become established', async () => {
    await kubectl(['apply', '--server-side', '-f', '-'], { input: await render('chaperone-crds') });
    const { stdout } = await kubectl(['get', 'crds', '-o', 'name']);
    const names = stdout.split('\n').filter((name) => name.endsWith('.chaperone.dev'));
    assert.ok(names.length >= 6, stdout);
    await kubectl(['wait', '--for=condition=Established', '--timeout=30s', ...names]);
  });

  for (const name of VALUES) {
    it(`server-side dry run with values-${name}.yaml: every field is known`, async () => {
      const objects = objectsIn(await chart(name)).filter(({ apiVersion }) => !FOREIGN.test(apiVersion));
      assert.ok(objects.length > 10);
      const args = ['apply', '--server-side', '--dry-run=server', '--validate=strict', '-f', '-'];
      const { stdout } = await kubectl(args, { input: list(objects) });
      assert.equal(stdout.trim().split('\n').length, objects.length);
    });
  }

  it("kubeconform, with the API server's own schemas", async () => {
    const schemas = join(dir, 'schemas');
    await mkdir(schemas);
    await writeSchemas(schemas, JSON.parse((await kubectl(['get', '--raw', '/openapi/v2'])).stdout));
    const conform = async (text: string, more: readonly string[] = []) => {
      const file = join(dir, 'rendered.yaml');
      await writeFile(file, text);
      const location = `${schemas}/{{ .ResourceKind }}{{ .KindSuffix }}.json`;
      return run(await binary('kubeconform'), ['-strict', '-summary', '-schema-location', location, ...more, file]);
    };
    for (const name of VALUES) {
      const { stdout } = await conform(await chart(name), ['-skip', 'ServiceMonitor,PodMonitor,PrometheusRule,Certificate,Issuer']);
      assert.match(stdout, /Invalid: 0, Errors: 0/, stdout);
      assert.doesNotMatch(stdout, /Valid: 0,/);
    }
    const wrong = (await chart('default')).replace('terminationGracePeriodSeconds', 'terminationGracePeriodSecond');
    await assert.rejects(conform(wrong), (error: unknown) => /terminationGracePeriodSecond/.test((error as { stdout: string }).stdout));
  });

  for (const example of EXAMPLES) {
    it(`examples/${example} is taken by kubectl apply -k`, async () => {
      const { stdout } = await kubectl(['kustomize', join(ROOT, 'examples', example)]);
      const objects = objectsIn(stdout);
      for (const { metadata } of objects.filter(({ kind }) => kind === 'Namespace'))
        await kubectl(['create', 'namespace', metadata.name]).catch(() => undefined);
      await kubectl(['apply', '--dry-run=server', '--validate=strict', '-k', join(ROOT, 'examples', example)]);
    });
  }

  it('the check sees that no webhook answers, and when one does', async () => {
    // Nobody has installed the operator here: an AccessPolicy that only the webhook refuses is let through.
    await assert.rejects(check(), /it was let through: no webhook looked at it/);
    const webhook = {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingWebhookConfiguration',
      metadata: { name: 'nobody-there' },
      webhooks: [
        {
          name: 'validate.chaperone.dev',
          rules: [{ apiGroups: ['chaperone.dev'], apiVersions: ['v1alpha1'], operations: ['CREATE'], resources: ['accesspolicies'] }],
          clientConfig: { url: 'https://127.0.0.1:1/validate' },
          admissionReviewVersions: ['v1'],
          sideEffects: 'None',
          failurePolicy: 'Fail',
        },
      ],
    };
    await kubectl(['create', '-f', '-'], { input: JSON.stringify(webhook) });
    try {
      // A webhook that can't be reached also refuses, which is not the same.
      await assert.rejects(check(), /not yet: .*failed calling webhook/);
    } finally {
      await kubectl(['delete', 'validatingwebhookconfiguration', 'nobody-there']);
    }
  });

  it('`chaperone install` applies all of it, twice', async () => {
    await kubectl(['delete', 'crds', '--all']);
    const install = () =>
      run(process.execPath, [cliProgram(), 'install', '--registry', 'registry.example.com/x', '--wait', '0s'], {
        env: { HOME: dir, KUBECONFIG: plane.kubeconfig },
      });
    const first = await install();
    assert.match(first.stdout, /CustomResourceDefinition accesspolicies\.chaperone\.dev applied\n/);
    assert.match(first.stdout, /chaperone is installed in chaperone-system\n$/);
    assert.equal((await install()).stdout, first.stdout);
    const { stdout } = await kubectl(['-n', NAMESPACE, 'get', 'deployment', 'chaperone-operator', '-o', 'json']);
    assert.match(stdout, /"image": "registry\.example\.com\/x\/operator:/);
    assert.doesNotMatch(stdout, /registry\.invalid/);
  });

  const chart = (name: string) => render('chaperone', '--values', join(import.meta.dirname, `testdata/values-${name}.yaml`));

  /** Runs the script of the chart as its pod does, with the rights that the chart gives it. */
  async function check(): Promise<void> {
    const objects = objectsIn(await chart('default'));
    const ours = objects.filter(
      ({ kind, metadata }: KubeObject) => metadata.name === 'chaperone-check' && /^(ServiceAccount|Role|RoleBinding)$/.test(kind),
    );
    assert.equal(ours.length, 3);
    await kubectl(['apply', '--server-side', '-f', '-'], { input: list(ours) });
    const account = join(dir, 'account');
    await mkdir(account, { recursive: true });
    const { stdout } = await kubectl(['-n', NAMESPACE, 'create', 'token', 'chaperone-check']);
    await writeFile(join(account, 'token'), stdout, { mode: 0o600 });
    await writeFile(join(account, 'namespace'), NAMESPACE);
    const script = join(ROOT, 'charts/chaperone/files/check.mjs');
    await run(process.execPath, [script, '1', plane.url, account], { env: { NODE_EXTRA_CA_CERTS: plane.caFile } }).catch(
      (error: unknown) => {
        throw new Error((error as { stdout: string }).stdout);
      },
    );
  }
});
