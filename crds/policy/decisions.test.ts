import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';
import { actionOf, type Does, type Given, principalsOf, resourceOf, snapshotOf, type Who } from '../testdata/decisions/case.ts';
import type { SessionAssurance } from './assurance.ts';
import type { ResourcePolicy } from './engine.ts';
import { loadSnapshot } from './load.ts';
import type { SnapshotLimits, SnapshotStrategy } from './snapshot.ts';
import type { Author, Verdict } from './verdict.ts';

const FOLDER = new URL('../testdata/decisions/', import.meta.url);

interface Case {
  readonly title: string;
  readonly given?: Given;
  readonly as?: Who;
  readonly at?: string;
  readonly assurance?: SessionAssurance;
  readonly problems?: number;
  readonly does?: Does;
  readonly expect?: {
    readonly decision: Verdict['decision'];
    readonly code: Verdict['code'];
    readonly message: string;
    readonly authors: readonly string[];
    readonly gates?: readonly string[];
    readonly audit?: readonly string[];
  };
  readonly columns?: { readonly [column: string]: { readonly strategy: SnapshotStrategy; readonly authors: readonly string[] } | null };
  readonly detectors?: readonly string[];
  readonly limits?: SnapshotLimits;
}
interface CaseFile {
  readonly about: string;
  readonly given?: Given;
  readonly cases: readonly Case[];
}

const files = readdirSync(FOLDER).filter((name) => name.endsWith('.yaml'));
const all = files.flatMap((name) => {
  const file: CaseFile = parse(readFileSync(new URL(name, FOLDER), 'utf8'));
  return file.cases.map((each) => ({ file: name, ...(file.given === undefined ? {} : { given: file.given }), ...each }));
});

for (const each of all) test(`${each.file}: ${each.title}`, () => run(each));

test('titles tell cases apart', () => {
  const titles = all.map(({ file, title }) => `${file} ${title}`);
  assert.equal(new Set(titles).size, titles.length);
});

test('there are decisions of every kind', () => {
  assert.ok(all.length >= 90, `${all.length} cases`);
  for (const decision of ['Allow', 'Deny', 'Hold'])
    assert.ok(all.filter((each) => each.expect?.decision === decision).length >= 8, decision);
});

function run(each: Case): void {
  const policy = policyOf(each);
  const principals = principalsOf(each.as);
  let checks = 0;
  if (each.does !== undefined && each.expect !== undefined) {
    const nowMs = Date.parse(each.at ?? '2026-11-21T10:00:00Z');
    const action = actionOf(each.does);
    const verdict = policy.judge({ principals, action, nowMs, assurance: each.assurance });
    const { gates = [], audit = [], ...rest } = each.expect;
    assert.deepEqual(readable(verdict), { ...rest, gates, audit });
    const traced = policy.judge({ principals, action, nowMs, assurance: each.assurance }, () => {});
    assert.deepEqual(traced, verdict, 'a trace changes nothing');
    checks += 1;
  }
  const masks = policy.masking(principals);
  for (const [column, expected] of Object.entries(each.columns ?? {})) {
    const [schema = '', relation = '', name = ''] = column.split('.');
    const mask = masks.column(schema, relation, name);
    const found = mask === null ? null : { strategy: mask.strategy, authors: mask.authors.map((author) => author.name) };
    assert.deepEqual(found, expected, column);
    checks += 1;
  }
  if (each.detectors !== undefined) {
    assert.deepEqual(
      masks.detectors.map(({ name }) => name),
      each.detectors,
    );
    checks += 1;
  }
  if (each.limits !== undefined) {
    assert.deepEqual(policy.limits(principals), each.limits);
    checks += 1;
  }
  assert.ok(checks > 0, 'a case that checks nothing');
}

function policyOf({ given = {}, problems = 0 }: Case): ResourcePolicy {
  const resource = resourceOf(given);
  const loaded = loadSnapshot(snapshotOf(resource), []);
  assert.ok(loaded.ok, loaded.ok ? '' : JSON.stringify(loaded.problems));
  if (given.requiredCapabilities === undefined) assert.equal(loaded.problems.length, problems, JSON.stringify(loaded.problems));
  const policy = loaded.policies.get(resource);
  assert.ok(policy);
  return policy;
}

function readable({ decision, code, message, authors, gates, audit, guard }: Verdict) {
  const rows = guard?.rows ?? null;
  const everyRow = guard?.everyRow ?? null;
  return {
    decision,
    code,
    message,
    authors: authors.map(short),
    gates: gates.map(({ name }) => name),
    audit: audit.map((one) => `${one.decision} ${one.code} ${one.authors.map(short).join(' ')}`),
    ...(rows !== null && { maxRows: `${rows.max} ${short(rows.author)}` }),
    ...(everyRow !== null && { notEveryRow: short(everyRow) }),
  };
}

function short(author: Author): string {
  return `${author.name}/${author.rule}`;
}
