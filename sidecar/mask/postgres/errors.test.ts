import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ErrorFields } from '../../wire/postgres/messages/error_notice.ts';
import { compileDetectors } from '../detect.ts';
import { maskError } from './errors.ts';

const author = { kind: 'MaskingRule', namespace: 'shop', name: 'data', generation: 1, rule: 'x' } as const;
const detectors = compileDetectors([{ type: 'SSN', name: 'ssn', strategy: { type: 'Redact' }, author }]);
const SECRET = 's3cret-note';

const full: ErrorFields = {
  severity: 'ERROR',
  severityEnglish: 'ERROR',
  sqlstate: '22P02',
  message: `invalid input syntax for type integer: "${SECRET}"`,
  detail: SECRET,
  hint: SECRET,
  position: '8',
  internalPosition: '4',
  internalQuery: SECRET,
  where: SECRET,
  schema: SECRET,
  table: SECRET,
  column: SECRET,
  dataType: SECRET,
  constraint: SECRET,
  file: 'numutils.c',
  line: '1',
  routine: SECRET,
};

test('an error of a statement that touches masked data keeps its code and nothing that may hold a value', () => {
  const masked = maskError(full, { touchesMasked: true, detectors });
  assert.deepEqual(masked, {
    severity: 'ERROR',
    severityEnglish: 'ERROR',
    sqlstate: '22P02',
    message: 'data exception (22P02); the details are hidden because the statement touches masked data',
  });
});

test('errors about names keep message, hint and position', () => {
  const missing: ErrorFields = {
    severity: 'ERROR',
    sqlstate: '42703',
    message: 'column "ssnn" does not exist',
    position: '8',
    hint: 'Perhaps you meant to reference the column "customers.ssn".',
    detail: SECRET,
    table: SECRET,
    file: 'parse_relation.c',
  };
  assert.deepEqual(maskError(missing, { touchesMasked: true, detectors }), {
    severity: 'ERROR',
    sqlstate: '42703',
    message: 'column "ssnn" does not exist',
    hint: 'Perhaps you meant to reference the column "customers.ssn".',
    position: '8',
    file: 'parse_relation.c',
  });
});

test('what a function raises under such a code does not', () => {
  for (const raised of [{ file: 'pl_exec.c' }, { file: 'parse_relation.c', where: 'PL/pgSQL function f() line 1 at RAISE' }, {}]) {
    const masked = maskError({ severity: 'ERROR', sqlstate: '42703', message: SECRET, ...raised }, { touchesMasked: true, detectors });
    assert.equal(JSON.stringify(masked).includes(SECRET), false);
  }
});

test('a code that is not the server’s own may be a value', () => {
  for (const sqlstate of ['07805', 'P0078', '42078', 'ZZZZZ']) {
    const masked = maskError({ severity: 'NOTICE', sqlstate, message: 'x' }, { touchesMasked: true, detectors: null });
    assert.equal(masked.sqlstate, 'XX000');
    assert.equal(masked.message.includes(sqlstate), false);
  }
});

test('without masked columns the detectors go over every field', () => {
  const masked = maskError(
    { ...full, message: 'bad 078-05-1120', detail: 'Key (ssn)=(078-05-1120) exists' },
    { touchesMasked: false, detectors },
  );
  assert.equal(masked.message, 'bad [redacted]');
  assert.equal(masked.detail, 'Key (ssn)=([redacted]) exists');
  assert.equal(masked.hint, SECRET);
  assert.deepEqual(maskError(full, { touchesMasked: false, detectors: null }), full);
});
