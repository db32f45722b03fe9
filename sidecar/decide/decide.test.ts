import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JudgeInput, ResourcePolicy } from '#crds/policy/engine.ts';
import type { Verdict } from '#crds/policy/verdict.ts';
import { Permit } from '../permit.ts';
import { decide, decideAfterApproval } from './decide.ts';

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

test('a Permit can not be made without its maker', () => {
  assert.throws(() => new Permit(Symbol('decide') as never, input.action, verdict('Allow'), bytes), TypeError);
  assert.equal(Permit.is({ action: input.action, verdict: verdict('Allow'), bytes }), false);
});
