import assert from 'node:assert/strict';
import { test } from 'node:test';
import { actionOf, type Given, principalsOf, resourceOf } from '../testdata/decisions/case.ts';
import { compileResource } from './judge.ts';

const ALLOW = { name: 'all', action: 'Allow' as const, gates: [] };
const WORKDAY = [{ days: ['Mon' as const], start: '08:00', end: '18:00' }];
const MONDAY_MS = Date.UTC(2026, 10, 23, 10);
const SUNDAY_MS = Date.UTC(2026, 10, 22, 10);
/** One list of statements, as a session judges one text again and again. */
const action = actionOf({ sql: [{ kind: 'Delete', writes: ['public.a'] }] });
const principals = principalsOf();

function judged(policies: NonNullable<Given['policies']>): (nowMs: number, who?: typeof principals) => string {
  const resource = compileResource(resourceOf({ policies }), () => assert.fail('it compiles'));
  return (nowMs, who = principals) => resource.judge({ principals: who, action, nowMs }).decision;
}

test('a verdict is remembered only where nothing but the statements decides it', () => {
  const deny = { name: 'no', action: 'Deny' as const, gates: [] };
  for (const [what, more] of [
    ['windows', { windows: WORKDAY, rules: [deny] }],
    ['a condition', { rules: [{ ...deny, when: `now.getDayOfWeek() == 1` }] }],
    ['a condition beside a rule without one', { rules: [{ ...deny, when: `now.getDayOfWeek() == 1` }, ALLOW] }],
  ] as const) {
    const decisionAt = judged({ still: { rules: [ALLOW] }, moving: more });
    assert.deepEqual(
      [MONDAY_MS, SUNDAY_MS, MONDAY_MS].map((ms) => decisionAt(ms)),
      ['Deny', 'Allow', 'Deny'],
      what,
    );
  }
});

test('a verdict by conditions alone is not remembered', () => {
  const decisionAt = judged({ moving: { rules: [{ ...ALLOW, when: `now.getDayOfWeek() == 1` }] } });
  assert.deepEqual(
    [MONDAY_MS, SUNDAY_MS].map((ms) => decisionAt(ms)),
    ['Allow', 'Deny'],
  );
});

test('a verdict that is remembered is the one of whoever it is about', () => {
  const decisionAt = judged({ mine: { rules: [ALLOW] } });
  const [mine, other] = [principalsOf('workload'), principalsOf('neighbour')];
  assert.deepEqual(
    [mine, other, mine].map((who) => decisionAt(MONDAY_MS, who)),
    ['Allow', 'Deny', 'Allow'],
  );
});

test('no time is a denial', () => {
  const decisionAt = judged({ open: { rules: [ALLOW] } });
  assert.deepEqual(
    [Number.NaN, Number.POSITIVE_INFINITY].map((ms) => decisionAt(ms)),
    ['Deny', 'Deny'],
  );
});

test('a session is read only on the server where a policy says so at all times, and is enforced', () => {
  const readOnly = (more: object): boolean => {
    const given = { policies: { p: { rules: [ALLOW], ...more } } };
    return compileResource(resourceOf(given), () => assert.fail('it compiles')).readOnly(principals);
  };
  assert.equal(readOnly({ readOnly: true }), true);
  assert.equal(readOnly({}), false);
  assert.equal(readOnly({ readOnly: true, windows: WORKDAY }), false);
  assert.equal(readOnly({ readOnly: true, mode: 'Audit' }), false);
});

test('of two limits the lower one counts, from whichever policy', () => {
  for (const limits of [
    [{ maxRows: 5 }, { maxRows: 9 }],
    [{ maxRows: 9 }, { maxRows: 5 }],
  ]) {
    const policies = Object.fromEntries(limits.map((limit, index) => [`p${index}`, { rules: [ALLOW], limits: limit }]));
    const resource = compileResource(resourceOf({ policies }), () => assert.fail('it compiles'));
    assert.deepEqual(resource.limits(principals), { maxRows: 5 });
  }
});
