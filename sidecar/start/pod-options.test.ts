import assert from 'node:assert/strict';
import { test } from 'node:test';
import { injectedContainers } from '#operator/admission/inject/containers.ts';
import { DEFAULT_RESOURCES } from '#operator/admission/inject/context.ts';
import { SETTINGS } from '#operator/admission/inject/testing.ts';
import { readOperatorSettings } from './operator.ts';

const parts = { settings: SETTINGS, resources: DEFAULT_RESOURCES, listens: [{ key: 'shop/orders', host: '127.0.1.1', port: 5432 }] };
const argumentsOf = (mode: 'Explicit' | 'Transparent') =>
  injectedContainers({ ...parts, mode, egress: 'Audit' }).find(({ name }) => name === 'chaperone')?.['args'] as string[];

test('what the injector writes is what the sidecar reads', () => {
  const explicit = readOperatorSettings(argumentsOf('Explicit'));
  assert.equal(explicit.operator.host, 'chaperone.chaperone-system.svc');
  assert.equal(explicit.tokenFile, '/var/run/secrets/chaperone.dev/token');
  assert.equal(explicit.caFile, '/var/run/secrets/chaperone.dev/ca.crt');
  assert.equal(explicit.state, '/var/lib/chaperone');
  assert.deepEqual([...explicit.listen], [['shop/orders', { host: '127.0.1.1', port: 5432 }]]);
  assert.deepEqual([explicit.pod.metricsPort, explicit.pod.metricsHost, explicit.pod.others], [15020, '::', 'None']);
  assert.ok(explicit.pod.names !== undefined && explicit.pod.transparent === undefined);
  const transparent = readOperatorSettings(argumentsOf('Transparent'));
  assert.deepEqual(transparent.pod.transparent, { egress: 'Audit' });
  assert.equal(transparent.listen.size, 0);
});

test('what makes no sense is a StartError', () => {
  const good = argumentsOf('Transparent');
  const without = (name: string) => good.filter((arg, i) => arg !== name && good[i - 1] !== name);
  const wrong = [
    [...good, '--listen', 'a=h:1'],
    [...good, '--dns', 'host'],
    [...good, '--x'],
    good.map((arg) => (arg === 'Audit' ? 'audit' : arg)),
    good.filter((arg) => arg !== '--transparent'),
    without('--cluster-domain'),
  ];
  for (const args of wrong) assert.throws(() => readOperatorSettings(args), { name: 'StartError' }, args.join(' '));
});
