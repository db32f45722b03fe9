import assert from 'node:assert/strict';
import { test } from 'node:test';
import { caPatch, serviceClientConfig, webhookConfiguration } from './configuration.ts';
import { WEBHOOK_PATHS, webhooksOf } from './webhooks.ts';

const OPTIONS = { namespace: 'chaperone-system', serviceAccount: 'chaperone-operator' };
const options = { ...OPTIONS, clientConfig: serviceClientConfig('chaperone-system', 'chaperone', 9443) };

test('all fail closed, in five seconds, without side effects', () => {
  for (const type of ['Validating', 'Mutating'] as const) {
    const { webhooks } = webhookConfiguration(type, options) as { webhooks: { [member: string]: unknown }[] };
    assert.ok(webhooks.length > 0);
    for (const webhook of webhooks) {
      assert.deepEqual([webhook['failurePolicy'], webhook['timeoutSeconds'], webhook['sideEffects']], ['Fail', 5, 'None']);
      assert.equal(webhook['reinvocationPolicy'], type === 'Mutating' ? 'IfNeeded' : undefined);
    }
  }
});

test('those for pods leave kube-system and the own namespace out', () => {
  const forPods = webhooksOf(OPTIONS).filter(({ rules }) => rules.some(({ apiGroups }) => apiGroups.includes('')));
  assert.ok(forPods.length >= 6);
  for (const { name, namespaceSelector } of forPods) {
    const elsewhere = namespaceSelector?.matchExpressions?.[0];
    assert.deepEqual(
      elsewhere,
      { key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: ['kube-system', 'chaperone-system'] },
      name,
    );
  }
});

test('names are unique, every path is served, every route is called', () => {
  const webhooks = webhooksOf(OPTIONS);
  assert.equal(new Set(webhooks.map(({ name }) => name)).size, webhooks.length);
  assert.deepEqual(new Set(webhooks.map(({ path }) => path)), new Set(WEBHOOK_PATHS));
});

test('the CA is written into each webhook, and nothing else is', () => {
  const patch = caPatch('Mutating', OPTIONS, 'PEM') as { webhooks: { name: string; clientConfig: object }[] };
  assert.equal(patch.webhooks.length, webhooksOf(OPTIONS).filter(({ type }) => type === 'Mutating').length);
  for (const webhook of patch.webhooks) {
    assert.deepEqual(Object.keys(webhook), ['name', 'clientConfig']);
    assert.deepEqual(webhook.clientConfig, { caBundle: Buffer.from('PEM').toString('base64') });
  }
});
