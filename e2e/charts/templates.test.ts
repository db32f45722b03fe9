/** The charts' templates, without a cluster: lint, golden files, what they must and must not hold, and which values are refused. `--update` writes the golden files. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { LABELS } from '#crds/control/names.ts';
import { ROOT } from '#e2e/repo/tree.ts';
import { readConfig } from '#operator/config.ts';
import { helm, installManifests, type KubeObject, objectsIn, render } from './render.ts';

const TESTDATA = join(import.meta.dirname, 'testdata');
const values = (name: string) => ['--values', join(TESTDATA, `values-${name}.yaml`)];
const update = process.argv.includes('--update');

function golden(path: string, text: string): void {
  if (update) writeFileSync(path, text);
  assert.equal(text, readFileSync(path, 'utf8'), `run this file with --update, and read the difference of ${path}`);
}

describe('lint and golden templates', () => {
  for (const name of ['default', 'full', 'least']) {
    it(`helm lint with values-${name}.yaml`, async () => {
      assert.match(await helm('lint', 'charts/chaperone', '--strict', ...values(name)), /0 chart\(s\) failed/);
    });
    it(`the chart with values-${name}.yaml`, async () =>
      golden(join(TESTDATA, `${name}.yaml`), await render('chaperone', ...values(name))));
  }
  it('helm lint of the CRDs', async () => assert.match(await helm('lint', 'charts/chaperone-crds', '--strict'), /0 chart\(s\) failed/));
  it('charts/install.yaml is what both charts make', async () => golden(join(ROOT, 'charts/install.yaml'), await installManifests()));
});

describe('the CRDs', () => {
  it('are kept when the release goes, but where somebody wants otherwise', async () => {
    const policies = (text: string) => objectsIn(text).map(({ metadata }) => metadata.annotations?.['helm.sh/resource-policy'] ?? null);
    const kept = policies(await render('chaperone-crds'));
    assert.ok(kept.length >= 4);
    assert.deepEqual([...new Set(kept)], ['keep']);
    assert.deepEqual([...new Set(policies(await render('chaperone-crds', '--set', 'keep=false')))], [null]);
  });
});

describe('what the chart holds', () => {
  let full: KubeObject[];
  let plain: KubeObject[];
  before(async () => {
    full = objectsIn(await render('chaperone', ...values('full')));
    plain = objectsIn(await render('chaperone', ...values('default')));
  });
  const rulesOf = (objects: KubeObject[]) =>
    objects
      .filter(({ kind }) => kind.endsWith('Role'))
      .flatMap(({ metadata, rules }) => (rules as Rule[]).map((rule) => ({ name: metadata.name, ...rule })));

  it('no role has a wildcard, and none may list Secrets', () => {
    for (const { name, verbs, resources, apiGroups } of rulesOf(full)) {
      assert.ok(![...verbs, ...resources, ...apiGroups].includes('*'), name);
      if (resources.includes('secrets')) assert.ok(!verbs.includes('list'), name);
    }
  });

  it('by default nothing is bound to the right to read Secrets of another namespace', () => {
    const bound = plain.filter(
      ({ kind, roleRef }) => kind.endsWith('Binding') && (roleRef as { name: string }).name === 'chaperone-secret-reader',
    );
    assert.deepEqual(bound, []);
    const operator = rulesOf(plain.filter(({ kind, metadata }) => kind === 'ClusterRole' && metadata.name === 'chaperone-operator'));
    assert.ok(operator.every(({ resources }) => !resources.includes('secrets')));
  });

  it('to approve is part of no aggregated role', () => {
    for (const { kind, metadata, rules } of full.filter(({ kind }) => kind === 'ClusterRole')) {
      const aggregated = Object.keys((metadata as { labels?: Record<string, string> }).labels ?? {}).some((label) =>
        label.includes('aggregate-to'),
      );
      const approves = (rules as Rule[]).some(
        ({ resources, verbs }) => resources.includes('approvaldecisions') && verbs.includes('create'),
      );
      assert.ok(!(aggregated && approves), `${kind} ${metadata.name}`);
    }
  });

  it('every container goes under Pod Security restricted', () => {
    const pods = full.map(podSpecOf).filter((spec) => spec !== undefined);
    assert.equal(pods.length, 3, 'the operator, the check after an install, and that of helm test');
    for (const { containers, securityContext, hostNetwork } of pods) {
      assert.equal(hostNetwork, undefined);
      assert.deepEqual(securityContext['seccompProfile'], { type: 'RuntimeDefault' });
      for (const container of containers) {
        const { allowPrivilegeEscalation, readOnlyRootFilesystem, runAsNonRoot, capabilities } = container.securityContext;
        assert.deepEqual(
          [allowPrivilegeEscalation, readOnlyRootFilesystem, runAsNonRoot, capabilities],
          [false, true, true, { drop: ['ALL'] }],
        );
        assert.ok(container.resources['requests'] && container.resources['limits'], 'requests and limits');
      }
    }
  });

  it('webhooks fail closed, are narrow, and have no CA of their own that an upgrade would put back', () => {
    const webhooks = full.filter(({ kind }) => kind.endsWith('WebhookConfiguration')).flatMap(({ webhooks }) => webhooks as Webhook[]);
    assert.ok(webhooks.length > 4);
    for (const { name, failurePolicy, sideEffects, clientConfig, timeoutSeconds, rules, namespaceSelector } of webhooks) {
      assert.deepEqual([failurePolicy, sideEffects, timeoutSeconds, clientConfig['caBundle']], ['Fail', 'None', 10, undefined], name);
      if (rules.some(({ apiGroups }) => apiGroups.includes('chaperone.dev'))) continue;
      assert.ok(
        JSON.stringify(namespaceSelector).includes('"values":["kube-system","chaperone-system"]'),
        `${name} looks at the namespaces of the control plane`,
      );
    }
    assert.ok(JSON.stringify(webhooks).includes(LABELS.injection));
  });

  it('the namespace of the release is the one that webhooks leave out and sidecars find', async () => {
    const text = await render('chaperone', ...values('full'), '--namespace', 'elsewhere');
    assert.doesNotMatch(text, /chaperone-system/);
    assert.match(text, /"?elsewhere"?/);
  });

  it('the operator knows every argument and reads what the values say', () => {
    const container = full.find(({ kind }) => kind === 'Deployment');
    const { args, env } = (podSpecOf(container as KubeObject)?.containers[0] ?? {}) as { args: string[]; env: { name: string }[] };
    const config = readConfig(args, Object.fromEntries(env.map(({ name }) => [name, 'a'])));
    assert.equal(config.clusterName, 'production');
    assert.equal(config.trustDomain, 'prod.example.com');
    assert.equal(config.logLevel, 'debug');
    assert.deepEqual(
      Object.keys(config).filter((key) => config[key as keyof typeof config] === undefined),
      [],
    );
  });

  it('two renderings are the same: nothing in it is random', async () => {
    assert.equal(await render('chaperone', ...values('full')), await render('chaperone', ...values('full')));
  });
});

describe('values that are refused, with a message that names them', () => {
  for (const [set, message] of [
    ['image.registry=', /image\.registry is required/],
    ['nonsense=1', /nonsense/],
    ['operator.replicas=0', /operator.*replicas|replicas/],
    ['operator.replicas=two', /replicas/],
    ['injection.egress=Maybe', /egress/],
    ['injection.snapshotTtlSeconds=5', /snapshotTtlSeconds/],
    ['image.pullPolicy=Sometimes', /pullPolicy/],
    ['bucket.url=http://x', /url/],
    ['bucket.url=s3://recordings', /bucket\.url needs bucket\.existingSecret/],
    ['bucket.url=s3://recordings,bucket.existingSecret=x,bucket.workloadIdentity=true', /only one of the two/],
    ['bucket.objectLockMode=NONE', /objectLockMode/],
    ['bucket.objectLockDays=3', /bucket\.objectLockDays needs bucket\.url/],
    ['image.operator.digest=sha256:12', /digest/],
    ['secretAccess.namespaces={a,a}', /namespaces/],
    ['operator.extraArgs={x}', /extraArgs/],
    ['webhook.timeoutSeconds=31', /timeoutSeconds/],
  ] as const) {
    it(set, async () => assert.rejects(render('chaperone', ...values('default'), '--set', set), message));
  }
  it('the namespace kube-system', async () =>
    assert.rejects(render('chaperone', ...values('default'), '--namespace', 'kube-system'), /a namespace of its own/));
});

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

interface Webhook {
  readonly name: string;
  readonly failurePolicy: string;
  readonly sideEffects: string;
  readonly timeoutSeconds: number;
  readonly clientConfig: Readonly<Record<string, unknown>>;
  readonly rules: readonly { readonly apiGroups: readonly string[] }[];
  readonly namespaceSelector?: unknown;
}

interface PodSpec {
  readonly hostNetwork?: boolean;
  readonly securityContext: Readonly<Record<string, unknown>>;
  readonly containers: readonly {
    readonly securityContext: Readonly<Record<string, unknown>>;
    readonly resources: Readonly<Record<string, unknown>>;
  }[];
}

function podSpecOf({ kind, spec }: KubeObject): PodSpec | undefined {
  if (kind === 'Pod') return spec as PodSpec;
  return kind === 'Deployment' || kind === 'Job' ? (spec as { template: { spec: PodSpec } }).template.spec : undefined;
}
