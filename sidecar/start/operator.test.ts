import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StartError } from './address.ts';
import { readOperatorSettings } from './operator.ts';

test('the operator is a name, with its ports where they are others', () => {
  const { operator, ttlMs, tokenFile, caFile } = readOperatorSettings(['--operator', 'chaperone.chaperone-system.svc']);
  assert.deepEqual(operator, { host: 'chaperone.chaperone-system.svc', enrolmentPort: 8443, controlPort: 8444 });
  assert.deepEqual(
    [ttlMs, tokenFile, caFile],
    [3_600_000, '/var/run/secrets/chaperone.dev/token', '/var/run/secrets/chaperone.dev/ca.crt'],
  );
  const other = readOperatorSettings(['--operator=localhost:1:2', '--ttl-seconds', '60']);
  assert.deepEqual([other.operator, other.ttlMs], [{ host: 'localhost', enrolmentPort: 1, controlPort: 2 }, 60_000]);
});

test('wrong use is told', () => {
  for (const args of [
    ['--operator', '10.0.0.1'],
    ['--operator', 'a:1'],
    ['--operator', 'a:1:2:3'],
    ['--operator', 'a:1:70000'],
    ['--operator', 'a', '--ttl-seconds', '0'],
    ['--operator', 'a', '--snapshot', 'x'],
    ['--operator', 'a', '--listen', 'x'],
    [],
  ])
    assert.throws(() => readOperatorSettings(args), StartError, args.join(' '));
});
