import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { CAPABILITIES } from '#crds/policy/snapshot.ts';
import { means } from '#crds/policy/subject.ts';
import { validateManifest } from '#crds/v1alpha1/validate.ts';
import { type CompileObject, compile } from '#operator/compile/compile.ts';
import { type ApprovalBroker, createApprovalBroker } from '../../../approvals/broker.ts';
import { openLocalIssuer } from '../../../identity/local-issuer.ts';
import { createIdentityVerifier } from '../../../identity/verifier.ts';
import { type Listener, listen } from '../../../listener/listen.ts';
import type { DriverContext, Log, VerdictLine } from '../../../pipeline.ts';
import { createPolicyStore } from '../../../policy/store.ts';
import { openRecordings } from '../../../record/store.ts';
import { type Assurances, createAssurances } from '../../../telemetry/assurances.ts';
import { createPostgresDriver } from '../driver.ts';

/** A driver over real parts: policy, approvals, identity, recordings. Only the credential store is a map. */
export interface Rig {
  readonly port: number;
  readonly state: string;
  readonly approvals: ApprovalBroker;
  readonly verdicts: VerdictLine[];
  readonly log: string[];
  readonly assurances: Assurances;
  publish(manifests: string): void;
  token(subject: string, ...groups: string[]): Promise<string>;
  principal(jwt: string): ReturnType<DriverContext['identity']['token']>;
  /** Drains and closes; the state folder stays until `remove`. */
  stop(): Promise<void>;
  remove(): Promise<void>;
}

const WORKLOAD = { namespace: 'shop', serviceAccount: 'agent' };

export async function startRig(manifests: string, credentials: Readonly<Record<string, string>>): Promise<Rig> {
  const state = await mkdtemp(join(tmpdir(), 'chaperone-rig-'));
  const lines: string[] = [];
  const verdicts: VerdictLine[] = [];
  const note = (level: string) => (fields: object, message: string) => void lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
  const log: Log = { info: note('info'), warn: note('warn'), error: note('error') };
  const now = Date.now;
  const policy = createPolicyStore({ workload: WORKLOAD, capabilities: CAPABILITIES, now });
  const issuer = await openLocalIssuer(state);
  const identity = createIdentityVerifier({ issuers: [issuer.verifier], now });
  const approvals = createApprovalBroker({ policy, matches: means, now });
  const recordings = await openRecordings({ dir: state, clock: now, log, snapshot: () => policy.version });
  const assurances = createAssurances();
  const context: DriverContext = {
    policy,
    identity,
    approvals,
    recordings,
    log,
    now,
    assurances,
    onVerdict: (line) => void verdicts.push(line),
    credentials: {
      get: (_namespace, _secret, key) => {
        const value = credentials[key];
        if (value === undefined) throw new Error('no such key');
        return Buffer.from(value);
      },
    },
  };
  const driver = createPostgresDriver(context, { tls: null, limitCheckMs: 50 });
  const generations: Generations = new Map();
  const publish = (text: string): void => {
    const { snapshot } = compile(objectsOf(text, generations), WORKLOAD);
    const published = policy.publish(snapshot);
    if (!published.ok) throw new Error(JSON.stringify(published));
  };
  publish(manifests);
  const resource = { namespace: 'shop', name: 'db' };
  const listener: Listener = await listen({ host: '127.0.0.1', port: 0, workload: WORKLOAD, resource, log, serve: (c) => driver.serve(c) });
  return {
    port: listener.port,
    state,
    approvals,
    verdicts,
    log: lines,
    assurances,
    publish,
    token: (subject, ...groups) => issuer.issue({ subject, groups, ttlSeconds: 3600, claims: {}, nowMs: now() }),
    principal: (jwt) => identity.token(jwt),
    stop: async () => {
      const closed = listener.close();
      await driver.drain(1000);
      await closed;
      await recordings.close();
    },
    remove: () => rm(state, { recursive: true, force: true }),
  };
}

/** As an API server counts them: one more with each change of an object. */
type Generations = Map<string, { readonly json: string; readonly generation: number }>;

function objectsOf(text: string, generations: Generations): CompileObject[] {
  return parseAllDocuments(text).map((document) => {
    const validated = validateManifest(document.toJS());
    if (!validated.ok) throw new Error(JSON.stringify(validated.problems));
    const { object } = validated;
    const { kind, metadata } = object;
    const uid = createHash('sha256').update(`${kind}/${metadata.namespace}/${metadata.name}`).digest('hex').slice(0, 32);
    const json = JSON.stringify(object);
    const known = generations.get(uid);
    const generation = known === undefined ? 1 : known.json === json ? known.generation : known.generation + 1;
    generations.set(uid, { json, generation });
    return { ...object, metadata: { ...metadata, uid, generation } };
  });
}
