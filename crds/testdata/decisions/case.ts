/** Reads the compact form of the cases (README.md) into what the engine takes. Pure. */
import type { Action, EffectKind, SqlEffect, SqlName, SqlStatement, StatementKind } from '../../policy/action.ts';
import type { Principal } from '../../policy/principal.ts';
import { type RuleSet, ruleOfSet } from '../../policy/rule-sets.ts';
import type { SnapshotMasking, SnapshotPolicy, SnapshotResource } from '../../policy/snapshot.ts';

export interface Given {
  readonly policies?: { readonly [name: string]: Partial<SnapshotPolicy> & WithSets };
  readonly masking?: { readonly [name: string]: Partial<SnapshotMasking> };
  readonly gates?: readonly string[];
  readonly protocol?: SnapshotResource['protocol'];
  readonly requiredCapabilities?: readonly string[];
}
/** `ruleSets` and `trustedFunctions` as in an AccessPolicy: they become rules, before the policy's own. */
interface WithSets {
  readonly ruleSets?: readonly RuleSet[];
  readonly trustedFunctions?: readonly string[];
}
export type Who = string | readonly (string | (Partial<Principal> & Pick<Principal, 'kind' | 'subject'>))[];
export type Does =
  | { readonly connect: { readonly database?: string; readonly user?: string } }
  | { readonly sql: readonly CompactStatement[] }
  | { readonly http: string };
type Lists = 'reads' | 'writes' | 'reached' | 'functions';
type CompactStatement = Partial<Omit<SqlStatement, Lists | 'kind' | 'effects'>> & { readonly effects?: readonly string[] } & { readonly kind: StatementKind } & {
  readonly [list in Lists]?: readonly string[];
};

const READING = ['Select', 'Show', 'Transaction', 'Set', 'Deallocate'];

export const PEOPLE: { readonly [name: string]: Principal } = {
  workload: account('shop/agent'),
  neighbour: account('shop/other'),
  alice: user('alice', ['sre', 'dba'], { team: 'shop' }),
  bob: user('bob', [], {}),
};

export function resourceOf(given: Given): SnapshotResource {
  const part = { namespace: 'shop', uid: 'u', generation: 1 };
  return {
    namespace: 'shop',
    name: 'orders-db',
    generation: 1,
    requiredCapabilities: given.requiredCapabilities ?? [],
    protocol: given.protocol ?? 'PostgreSQL',
    address: { host: 'orders.internal', port: 5432 },
    aliases: [],
    tls: { mode: 'VerifyFull' },
    agentToken: 'Accept',
    recording: { results: 'None', sampleRows: 0, fsync: 'Never' },
    policies: Object.entries(given.policies ?? {}).map(([name, { ruleSets = [], trustedFunctions = [], ...policy }]) => ({
      ...part,
      name,
      mode: 'Enforce',
      subjects: [{ serviceAccount: { namespace: 'shop', name: 'agent' } }],
      windows: [],
      ...policy,
      rules: [
        ...ruleSets.map((set) => ruleOfSet(set, trustedFunctions)),
        ...(policy.rules ?? []).map((rule) => ({ ...rule, gates: rule.gates ?? [] })),
      ],
    })),
    masking: Object.entries(given.masking ?? {}).map(([name, masking]) => ({
      ...part,
      name,
      columns: [],
      detectors: [],
      exemptSubjects: [],
      ...masking,
    })),
    gates: (given.gates ?? []).map((name) => ({
      ...part,
      name,
      approvers: [{ group: 'leads' }],
      quorum: 1,
      timeoutSeconds: 60,
      grant: { scope: 'Statement' },
      requireReason: false,
    })),
  };
}

export function snapshotOf(resource: SnapshotResource): unknown {
  return { schemaVersion: 1, workload: { namespace: 'shop', serviceAccount: 'agent' }, sources: [], resources: [resource] };
}

export function principalsOf(who: Who = 'workload'): readonly Principal[] {
  return (typeof who === 'string' ? [who] : who).map((one) => {
    if (typeof one !== 'string') return { issuer: 'https://id.example', groups: [], claims: {}, proof: 'token', ...one };
    const known = PEOPLE[one];
    if (known === undefined) throw new Error(`nobody is called ${one}`);
    return known;
  });
}

export function actionOf(does: Does): Action {
  if ('connect' in does) return { type: 'connect', ...does.connect };
  if ('sql' in does) return { type: 'sql', database: 'shop', user: 'app', statements: does.sql.map(statementOf) };
  const [method = '', host = '', target = ''] = does.http.split(' ');
  const [path = '', query = ''] = target.split('?');
  return { type: 'http', method, host, path, query };
}

function statementOf(compact: CompactStatement): SqlStatement {
  return {
    kinds: [compact.kind],
    access: READING.includes(compact.kind) ? 'Read' : 'Write',
    missingWhere: false,
    countsRows: false,
    housekeeping: false,
    ...compact,
    reads: (compact.reads ?? []).map(nameOf),
    writes: (compact.writes ?? []).map(nameOf),
    reached: (compact.reached ?? []).map(nameOf),
    functions: (compact.functions ?? []).map(nameOf),
    effects: (compact.effects ?? []).map(effectOf),
  };
}

/** `Drop`, `Drop=DROP TABLE`, or `OpaqueCode@public.f` for what a function may do. */
function effectOf(text: string): SqlEffect {
  const [, kind = '', what, name] = /^(\w+)(?:=([^@]*))?(?:@(.*))?$/.exec(text) ?? [];
  return { kind: kind as EffectKind, what: what ?? (name === undefined ? kind : `function ${name}`), function: name === undefined ? null : nameOf(name) };
}

function nameOf(text: string): SqlName {
  const dot = text.indexOf('.');
  const schema = text.slice(0, dot);
  return { schema: schema === '?' ? null : schema, name: text.slice(dot + 1) };
}

function account(subject: string): Principal {
  return { kind: 'ServiceAccount', issuer: 'cluster', subject, groups: [], claims: {}, proof: 'listener' };
}

function user(subject: string, groups: readonly string[], claims: Principal['claims']): Principal {
  return { kind: 'User', issuer: 'https://id.example', subject, groups, claims, proof: 'token' };
}
