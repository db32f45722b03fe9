import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JudgeInput, ResourcePolicy } from '#crds/policy/engine.ts';
import type { Verdict } from '#crds/policy/verdict.ts';
import { Permit } from '../permit.ts';
import { decide, decideAfterApproval, decideToParse, denialOf } from './decide.ts';

const input: JudgeInput = { principals: [], action: { type: 'connect' }, nowMs: 0 };
const bytes = Buffer.from('SELECT 1');
const author = { kind: 'AccessPolicy', namespace: 'shop', name: 'p', generation: 3, rule: 'writes' } as const;
const verdict = (decision: Verdict['decision'], more: Partial<Verdict> = {}): Verdict => ({
  decision,
  code: 'AllowedByRule',
  message: 'm',
  authors: [author],
  gates: [],
  audit: [],
  ...more,
});
const policy = (judge: () => Verdict): ResourcePolicy => ({ judge }) as unknown as ResourcePolicy;
const why = () => verdict('Deny', { code: 'NoSnapshot' });

test('an allowed action becomes a permit that carries the very bytes', () => {
  const outcome = decide(
    policy(() => verdict('Allow')),
    why,
    input,
    bytes,
  );
  assert.equal(outcome.type, 'permit');
  assert.ok(outcome.type === 'permit' && Permit.is(outcome.permit) && outcome.permit.bytes === bytes);
});

test('no policy is a denial, even where the reason given would allow', () => {
  assert.equal(decide(null, why, input, bytes).type, 'denial');
  assert.equal(decide(null, () => verdict('Allow'), input, bytes).type, 'denial');
});

test('a judge that throws is a denial that does not repeat the error', () => {
  const outcome = decide(
    policy(() => {
      throw new Error('SECRET');
    }),
    why,
    input,
    bytes,
  );
  assert.ok(outcome.type === 'denial' && outcome.denial.verdict.code === 'InternalError');
  assert.ok(!JSON.stringify(outcome).includes('SECRET'));
});

test('an approval counts for the policies and gates that asked, at their generations', () => {
  const asked = verdict('Hold', { gates: [{ namespace: 'shop', name: 'g', generation: 1 }] });
  const same = decideAfterApproval(
    policy(() => asked),
    why,
    input,
    bytes,
    { name: 'apr-1', asked },
  );
  assert.ok(same.type === 'permit' && same.permit.approval === 'apr-1' && same.permit.verdict.decision === 'Allow');
  for (const edited of [
    verdict('Hold', { gates: [{ namespace: 'shop', name: 'g', generation: 2 }] }),
    verdict('Hold', { gates: asked.gates, authors: [{ ...author, generation: 4 }] }),
    verdict('Hold', { gates: [...asked.gates, { namespace: 'shop', name: 'h', generation: 1 }] }),
  ]) {
    assert.equal(
      decideAfterApproval(
        policy(() => edited),
        why,
        input,
        bytes,
        { name: 'apr-1', asked },
      ).type,
      'hold',
    );
  }
  const denied = decideAfterApproval(
    policy(() => verdict('Deny')),
    why,
    input,
    bytes,
    { name: 'apr-1', asked },
  );
  assert.equal(denied.type, 'denial');
});

test('what will be held may be parsed, what is denied may not', () => {
  const toParse = (decision: Verdict['decision']) =>
    decideToParse(
      policy(() => verdict(decision)),
      why,
      input,
      bytes,
    );
  const held = toParse('Hold');
  assert.ok(held.type === 'permit' && held.permit.verdict.decision === 'Allow' && held.permit.approval === undefined);
  assert.match(held.permit.verdict.message, /not executed/);
  assert.equal(toParse('Deny').type, 'denial');
  const allowed = toParse('Allow');
  assert.ok(allowed.type === 'permit' && allowed.permit.verdict.message === 'm');
  assert.equal(decideToParse(null, why, input, bytes).type, 'denial');
});

test('without a policy the reason is told that is given', () => {
  const outcome = decide(null, () => verdict('Deny', { code: 'NoSnapshot', message: 'not yet' }), input, bytes);
  assert.ok(outcome.type === 'denial' && outcome.denial.verdict.message === 'not yet');
});

test('a denial of our own has an author, and keeps the gates and audit of the verdict that it follows', () => {
  const own = denialOf('limit', 'LimitExceeded', 'too much').verdict;
  assert.deepEqual([own.decision, own.authors[0]?.rule, own.gates, own.audit], ['Deny', 'limit', [], []]);
  const gates = [{ namespace: 'shop', name: 'g', generation: 1 }];
  const audit = [{ decision: 'Deny' as const, code: 'DeniedByRule' as const, authors: [author] }];
  const after = denialOf('approval', 'ApprovalDenied', 'no', verdict('Hold', { gates, audit })).verdict;
  assert.deepEqual([after.decision, after.authors, after.gates, after.audit], ['Deny', [author], gates, audit]);
});

test('a Permit can not be made without its maker', () => {
  assert.throws(() => new Permit(Symbol('decide') as never, input.action, verdict('Allow'), bytes), TypeError);
  assert.equal(Permit.is({ action: input.action, verdict: verdict('Allow'), bytes }), false);
});
