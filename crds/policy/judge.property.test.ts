import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PEOPLE, resourceOf } from '../testdata/decisions/case.ts';
import { type Action, EFFECT_KINDS, type SqlName, type SqlStatement, STATEMENT_KINDS } from './action.ts';
import type { JudgeInput, ResourcePolicy } from './engine.ts';
import { compileResource } from './judge.ts';
import type { Principal } from './principal.ts';
import type { SnapshotMasking, SnapshotPolicy, SnapshotResource, SnapshotRule, SnapshotStrategy } from './snapshot.ts';
import type { Verdict } from './verdict.ts';

const nowMs = Date.UTC(2026, 10, 21, 10);
const STRICTNESS = { Allow: 0, Hold: 1, Deny: 2 } as const;

const kind = fc.constantFrom(...STATEMENT_KINDS.slice(0, 6));
const part = fc.constantFrom('a', 'b', 'ab');
const name: fc.Arbitrary<SqlName> = fc.record({ schema: fc.option(fc.constantFrom('public', 'secret'), { freq: 5 }), name: part });
const names = fc.array(name, { maxLength: 3 });
const effect = fc.record({ kind: fc.constantFrom(...EFFECT_KINDS), what: fc.constant('x'), function: fc.option(name) });
const statement: fc.Arbitrary<SqlStatement> = fc
  .record({
    kind,
    inner: fc.array(kind, { maxLength: 2 }),
    reads: names,
    writes: names,
    reached: names,
    functions: names,
    access: fc.constantFrom('Read' as const, 'Write' as const),
    missingWhere: fc.boolean(),
    effects: fc.array(effect, { maxLength: 3 }),
    countsRows: fc.boolean(),
    housekeeping: fc.boolean(),
  })
  .map(({ inner, ...rest }) => ({ ...rest, kinds: [...new Set([rest.kind, ...inner])] }));
const sqlAction = fc
  .array(statement, { maxLength: 3 })
  .map((statements): Action => ({ type: 'sql', database: 'shop', user: 'app', statements }));
const httpAction = fc.record({
  type: fc.constant('http' as const),
  method: fc.constantFrom('GET', 'POST'),
  host: fc.constantFrom('a.internal', 'b.internal'),
  path: fc.constantFrom('/', '/v1', '/v1/a'),
  query: fc.constant(''),
});
const action: fc.Arbitrary<Action> = fc.oneof(sqlAction, sqlAction, httpAction, fc.constant<Action>({ type: 'connect', user: 'app' }));

const globs = fc.uniqueArray(fc.constantFrom('public.a', 'public.*', 'secret.*', '*.ab', '*.*'), { minLength: 1, maxLength: 3 });
const present = { requiredKeys: [] as [] };
const sql = fc.record(
  {
    statements: fc.uniqueArray(kind, { minLength: 1, maxLength: 5 }),
    relations: globs,
    functions: globs,
    access: fc.constantFrom('Read' as const, 'Write' as const),
    missingWhere: fc.boolean(),
  },
  present,
);
const http = fc.record({ methods: fc.constant(['GET']), paths: fc.constantFrom(['/v1/**'], ['/v1']) }, present);
const condition = fc.constantFrom(
  "action.statements.exists(s, 'public.a' in s.reads)",
  'principals.size() > 1',
  "principals[0].claims.team == 'shop'",
  "action.user == 'app'",
  'not a condition',
);
function rules(withConditions: boolean): fc.Arbitrary<SnapshotRule> {
  return fc
    .record({
      name: fc.constantFrom('r1', 'r2', 'r3'),
      action: fc.constantFrom('Allow' as const, 'Allow' as const, 'Deny' as const, 'RequireApproval' as const),
      match: fc.oneof(fc.record({ sql }), fc.record({ sql }), fc.record({ http }), fc.constant({})),
      when: withConditions ? fc.option(condition, { nil: undefined, freq: 3 }) : fc.constant(undefined),
      gate: fc.constantFrom('dba', 'legal', 'missing'),
    })
    .map(({ name: ruleName, action: does, match, when, gate }) => ({
      name: ruleName,
      action: does,
      ...match,
      ...(when === undefined ? {} : { when }),
      gates: does === 'RequireApproval' ? [gate] : [],
    }));
}
const subjects = fc.constantFrom([{ serviceAccount: { namespace: 'shop', name: 'agent' } }], [{ group: 'sre' }], [{ user: 'bob' }]);
function policies(withConditions = true): fc.Arbitrary<SnapshotPolicy[]> {
  const policy = fc.record({
    namespace: fc.constant('shop'),
    name: fc.constantFrom('p', 'q'),
    uid: fc.constant('u'),
    generation: fc.constant(1),
    mode: fc.constantFrom('Enforce' as const, 'Enforce' as const, 'Audit' as const),
    subjects,
    windows: fc.constantFrom(
      [],
      [{ days: ['Sat' as const], start: '09:00', end: '11:00' }],
      [{ days: ['Mon' as const], start: '09:00', end: '11:00' }],
    ),
    rules: fc.array(rules(withConditions), { maxLength: 4 }),
  });
  return fc.array(policy, { maxLength: 3 });
}
const principals: fc.Arbitrary<readonly Principal[]> = fc
  .constantFrom(['workload'], ['workload', 'alice'], ['workload', 'bob'], [])
  .map((who) => who.map((each) => PEOPLE[each] as Principal));

function build(list: readonly SnapshotPolicy[]): ResourcePolicy {
  const resource: SnapshotResource = { ...resourceOf({ gates: ['dba', 'legal'] }), policies: list };
  return compileResource(resource, () => {});
}
function judge(list: readonly SnapshotPolicy[], who: readonly Principal[], does: Action): Verdict {
  return build(list).judge({ principals: who, action: does, nowMs });
}
const check = <T>(property: fc.IProperty<T>) => fc.assert(property, { numRuns: 600 });

test('adding a Deny rule never loosens a decision', () => {
  check(
    fc.property(policies(), principals, action, rules(true), fc.nat(), (list, who, does, rule, at) => {
      const deny: SnapshotRule = { ...rule, action: 'Deny', gates: [] };
      const before = judge(list, who, does);
      const after = judge(
        list.map((policy, index) => (index === at % list.length ? { ...policy, rules: [...policy.rules, deny] } : policy)),
        who,
        does,
      );
      assert.ok(STRICTNESS[after.decision] >= STRICTNESS[before.decision]);
    }),
  );
});

test('policies in Audit mode change nothing but the audit', () => {
  check(
    fc.property(policies(), principals, action, (list, who, does) => {
      const { audit: _, ...withAudit } = judge(list, who, does);
      const { audit, ...without } = judge(
        list.filter(({ mode }) => mode === 'Enforce'),
        who,
        does,
      );
      assert.deepEqual(audit, []);
      assert.deepEqual(withAudit, without);
    }),
  );
});

test('the order of policies and rules decides nothing', () => {
  check(
    fc.property(policies(), principals, action, (list, who, does) => {
      const one = judge(list, who, does);
      const other = judge(
        [...list].reverse().map((policy) => ({ ...policy, rules: [...policy.rules].reverse() })),
        who,
        does,
      );
      assert.equal(other.decision, one.decision);
      assert.equal(other.code, one.code);
      assert.deepEqual(other.gates, one.gates);
    }),
  );
});

test('with no policy everything is denied', () => {
  check(fc.property(principals, action, (who, does) => assert.equal(judge([], who, does).code, 'NoPolicyForSubject')));
});

test('a name that is not resolved is never judged more loosely than one that is', () => {
  check(
    fc.property(policies(), principals, statement, (list, who, resolved) => {
      const blur = (all: readonly SqlName[]) => all.map((each, index) => (index === 0 ? { ...each, schema: null } : each));
      const blurred = { ...resolved, reads: blur(resolved.reads), writes: blur(resolved.writes), functions: blur(resolved.functions) };
      const known = judge(list, who, { type: 'sql', database: 'shop', user: 'app', statements: [resolved] });
      const unknown = judge(list, who, { type: 'sql', database: 'shop', user: 'app', statements: [blurred] });
      assert.ok(STRICTNESS[unknown.decision] >= STRICTNESS[known.decision]);
    }),
  );
});

test('a query of several statements is judged as strictly as the strictest of them alone', () => {
  check(
    fc.property(policies(false), principals, fc.array(statement, { minLength: 1, maxLength: 3 }), (list, who, statements) => {
      const whole = judge(list, who, { type: 'sql', database: 'shop', user: 'app', statements });
      const alone = statements.map((each) => judge(list, who, { type: 'sql', database: 'shop', user: 'app', statements: [each] }).decision);
      assert.equal(STRICTNESS[whole.decision], Math.max(...alone.map((decision) => STRICTNESS[decision])));
    }),
  );
});

test('a hold has gates, only a hold has gates, and what is allowed or held has an author', () => {
  check(
    fc.property(policies(), principals, action, (list, who, does) => {
      const { decision, gates, authors, message } = judge(list, who, does);
      assert.equal(gates.length > 0, decision === 'Hold');
      if (decision !== 'Deny') assert.ok(authors.length > 0);
      if (authors[0] !== undefined) assert.ok(message.includes(`${authors[0].namespace}/${authors[0].name} rule ${authors[0].rule}`));
    }),
  );
});

test('a trace looks at every rule once and changes nothing', () => {
  check(
    fc.property(policies(), principals, action, (list, who, does) => {
      const policy = build(list);
      const seen: string[] = [];
      const input: JudgeInput = { principals: who, action: does, nowMs };
      const traced = policy.judge(input, ({ author, why, matched }) => {
        seen.push(author.rule);
        assert.ok(why.length > 0);
        assert.equal(matched, why.startsWith('matched'));
      });
      assert.deepEqual(traced, policy.judge(input));
      assert.equal(
        seen.length,
        list.reduce((sum, each) => sum + each.rules.length, 0),
      );
    }),
  );
});

test('never throws, and what makes no sense is denied', () => {
  check(
    fc.property(policies(), fc.jsonValue(), fc.jsonValue(), fc.jsonValue(), (list, who, does, when) => {
      const verdict = build(list).judge({ principals: who, action: does, nowMs: when } as unknown as JudgeInput);
      assert.equal(verdict.decision, 'Deny');
    }),
  );
  const all = build([
    { ...(resourceOf({ policies: { p: { rules: [{ name: 'all', action: 'Allow', gates: [] }] } } }).policies[0] as SnapshotPolicy) },
  ]);
  const who = [PEOPLE.workload as Principal];
  for (const does of [null, undefined, {}, { type: 'sql' }, { type: 'ssh' }, { type: 'sql', statements: [null] }, { type: 'toString' }])
    assert.equal(all.judge({ principals: who, action: does as unknown as Action, nowMs }).code, 'InternalError', JSON.stringify(does));
  assert.equal(all.judge({ principals: who, action: { type: 'connect' }, nowMs: Number.NaN }).code, 'InternalError');
});

test('adding a MaskingRule never weakens a mask', () => {
  const strategy: fc.Arbitrary<SnapshotStrategy> = fc.oneof(
    fc.constant<SnapshotStrategy>({ type: 'Null' }),
    fc.constant<SnapshotStrategy>({ type: 'Redact' }),
    fc.record({ type: fc.constant('Partial' as const), keepStart: fc.nat(3), keepEnd: fc.nat(3) }),
    fc.record({
      type: fc.constantFrom('FormatPreserving' as const, 'Token' as const),
      keySecret: fc.constant({ name: 'k', key: 'k' }),
      domain: fc.constantFrom('a', 'b'),
    }),
  );
  const masking: fc.Arbitrary<SnapshotMasking> = fc.record({
    namespace: fc.constant('shop'),
    name: fc.constant('m'),
    uid: fc.constant('u'),
    generation: fc.constant(1),
    columns: fc.array(fc.record({ column: fc.constantFrom('a.b.c', 'a.*.c', '*.*.*'), strategy }), { maxLength: 3 }),
    detectors: fc.constant([]),
    exemptSubjects: fc.oneof(fc.constant([]), subjects),
  });
  const reveals = (mask: SnapshotStrategy | undefined) => {
    if (mask === undefined) return [99, 99];
    const kept = { Null: -2, Redact: -1, FormatPreserving: 50, Token: 60 };
    return mask.type === 'Partial' ? [mask.keepStart, mask.keepEnd] : [kept[mask.type], kept[mask.type]];
  };
  check(
    fc.property(fc.array(masking, { maxLength: 3 }), masking, principals, (list, added, who) => {
      const maskOf = (all: readonly SnapshotMasking[]) =>
        reveals(
          compileResource({ ...resourceOf({}), masking: all }, () => {})
            .masking(who)
            .column('a', 'b', 'c')?.strategy,
        );
      const [before, after] = [maskOf(list), maskOf([...list, added])];
      assert.ok((after[0] ?? 0) <= (before[0] ?? 0) && (after[1] ?? 0) <= (before[1] ?? 0));
    }),
  );
});
