import assert from 'node:assert/strict';
import { test } from 'node:test';
import { injectedContainers } from '#operator/admission/inject/containers.ts';
import { DEFAULT_RESOURCES } from '#operator/admission/inject/context.ts';
import { SETTINGS } from '#operator/admission/inject/testing.ts';
import { readPodOptions } from './pod-options.ts';

const parts = { settings: SETTINGS, resources: DEFAULT_RESOURCES, listens: [{ key: 'shop/orders', host: '127.0.1.1', port: 5432 }] };
const argumentsOf = (mode: 'Explicit' | 'Transparent') =>
  injectedContainers({ ...parts, mode, egress: 'Audit' }).find(({ name }) => name === 'chaperone')?.['args'] as string[];

test('what the injector writes is what the sidecar reads', () => {
  const explicit = readPodOptions(argumentsOf('Explicit'), Date.now);
  assert.equal(explicit.operator, 'chaperone.chaperone-system.svc');
  assert.equal(explicit.tokenFile, '/var/run/secrets/chaperone.dev/token');
  assert.equal(explicit.caFile, '/var/run/secrets/chaperone.dev/ca.crt');
  assert.equal(explicit.sidecar.state, '/var/lib/chaperone');
  assert.equal(explicit.sidecar.metricsPort, 15020);
  assert.deepEqual([...explicit.sidecar.listen], [['shop/orders', { host: '127.0.1.1', port: 5432 }]]);
  assert.equal(explicit.sidecar.transparent, undefined);
  const transparent = readPodOptions(argumentsOf('Transparent'), Date.now);
  assert.deepEqual(transparent.sidecar.transparent, { egress: 'Audit' });
  assert.equal(transparent.sidecar.listen.size, 0);
});

test('what makes no sense is a StartError', () => {
  const good = argumentsOf('Transparent');
  const wrong = [
    [],
    good.slice(2),
    [...good, '--listen', 'a=h:1'],
    [...good, '--dns', 'host'],
    good.map((arg) => (arg === 'Audit' ? 'audit' : arg)),
    [...good, '--x'],
  ];
  for (const args of wrong) assert.throws(() => readPodOptions(args, Date.now), { name: 'StartError' }, args.join(' '));
});
