import { ApprovalError } from '#crds/policy/approval-error.ts';
import { askerKey, isProved } from '#crds/policy/people.ts';
import type { Principal } from '#crds/policy/principal.ts';
import { isComplete, type MatchesSubject, progressOf } from '#crds/policy/quorum.ts';
import type { SnapshotGate } from '#crds/policy/snapshot.ts';
import { type Decision, type Vote, voteOf } from '#crds/policy/vote.ts';
import type { ApprovalAsk, ApprovalOutcome, Approvals, PendingApproval, PolicyStore } from '../pipeline.ts';
import { gatesInForce } from './asked.ts';
import { Grants, grantOf } from './grants.ts';
import { newName } from './name.ts';
import { type ApprovalView, maySee, viewOf } from './view.ts';

export interface BrokerOptions {
  readonly policy: PolicyStore;
  readonly matches: MatchesSubject;
  readonly now: () => number;
  /** Requests that one asker may have waiting; 10 where absent. */
  readonly maxPendingPerAsker?: number;
  /** Requests that may wait in all; 200 where absent. */
  readonly maxPending?: number;
  /** Called when a request is raised and when it ends. */
  readonly onEvent?: (view: ApprovalView) => void;
}

/** Approvals of one sidecar that runs alone, in memory: a restart ends every session, and with it every request and grant. */
export interface ApprovalBroker extends Approvals {
  /** Requests that the viewer asked for or may decide; the newest last. Ended ones stay for a while. */
  list(viewer: Principal): readonly ApprovalView[];
  /** `approver` is a verified token's principal. Throws ApprovalError. */
  decide(name: string, approver: Principal, decision: Decision): ApprovalView;
  readonly pending: number;
  /** Refuses new requests and withdraws those that wait. */
  close(): void;
}

/** One request. `state` is `pending` until its outcome is settled. */
export interface Request {
  readonly name: string;
  readonly ask: ApprovalAsk;
  readonly gates: readonly SnapshotGate[];
  readonly raisedAtMs: number;
  readonly expiresAtMs: number;
  readonly votes: Vote[];
  state: 'pending' | ApprovalOutcome['type'];
  settle: (outcome: ApprovalOutcome) => void;
}

const MAX_ENDED = 200;
const MAX_GRANTS = 1000;
/** setTimeout takes no more than this; the deadline itself is checked by the clock. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export function createApprovalBroker(options: BrokerOptions): ApprovalBroker {
  const requests = new Map<string, Request>();
  const grants = new Grants(MAX_GRANTS);
  let closed = false;
  const pendingOnes = () => [...requests.values()].filter((request) => request.state === 'pending');

  const end = (request: Request, outcome: ApprovalOutcome) => {
    if (request.state !== 'pending') return;
    request.state = outcome.type;
    request.settle(outcome);
    const ended = [...requests.values()].filter((other) => other.state !== 'pending');
    for (const old of ended.slice(0, Math.max(0, ended.length - MAX_ENDED))) requests.delete(old.name);
    options.onEvent?.(viewOf(request, options.matches));
  };
  const endUnapproved = (request: Request, type: Exclude<ApprovalOutcome['type'], 'approved'>, message: string) =>
    end(request, { type, name: request.name, message });
  const timeOut = (request: Request) => endUnapproved(request, 'timedOut', 'nobody decided in time');

  const raise = (ask: ApprovalAsk): PendingApproval => {
    if (closed) throw new ApprovalError('Closed', 'the sidecar is going away');
    if (!ask.principals.some(isProved)) throw new ApprovalError('AskerNotIdentified', ASKER_NOT_IDENTIFIED);
    const gates = gatesInForce(ask, options.policy);
    refuseTooMany(ask, pendingOnes(), options);
    const raisedAtMs = options.now();
    const timeoutMs = Math.min(...gates.map((gate) => gate.timeoutSeconds)) * 1000;
    let settle: Request['settle'] = () => {};
    const outcome = new Promise<ApprovalOutcome>((resolve) => {
      settle = resolve;
    });
    const name = newName((taken) => requests.has(taken));
    const request: Request = { name, ask, gates, raisedAtMs, expiresAtMs: raisedAtMs + timeoutMs, votes: [], state: 'pending', settle };
    requests.set(name, request);
    const timer = setTimeout(() => timeOut(request), Math.min(timeoutMs, MAX_TIMER_MS));
    // The client's connection keeps the process up while it waits; this need not.
    timer.unref();
    void outcome.then(() => clearTimeout(timer));
    options.onEvent?.(viewOf(request, options.matches));
    return { name, expiresAtMs: request.expiresAtMs, outcome, withdraw: (why) => endUnapproved(request, 'withdrawn', why) };
  };

  const decide = (name: string, approver: Principal, decision: Decision): ApprovalView => {
    const request = requests.get(name);
    if (request === undefined) throw new ApprovalError('NotFound', `there is no request ${name}`);
    const nowMs = options.now();
    if (request.state === 'pending' && nowMs >= request.expiresAtMs) timeOut(request);
    if (request.state !== 'pending') throw new ApprovalError('NotPending', `the request ${name} has ended (${request.state})`);
    gatesInForce(request.ask, options.policy);
    request.votes.push(voteOf({ ...request, askers: request.ask.principals }, approver, decision, options.matches, nowMs));
    if (decision.decision === 'deny') {
      endUnapproved(request, 'denied', decision.reason === undefined ? 'denied' : `denied: ${decision.reason}`);
      return viewOf(request, options.matches);
    }
    const approvers = request.votes.map((vote) => vote.approver);
    if (isComplete(progressOf(request.gates, approvers, options.matches))) {
      const grant = grantOf(name, request.ask, request.gates, nowMs);
      if (grant !== null) grants.add(grant, nowMs);
      end(request, { type: 'approved', name, by: approvers.map(({ issuer, subject }) => ({ issuer, subject })) });
    }
    return viewOf(request, options.matches);
  };

  return {
    granted(ask) {
      const grant = closed || !ask.principals.some(isProved) ? undefined : grants.find(ask, options.now());
      return grant === undefined ? null : { name: grant.name };
    },
    raise,
    decide,
    list: (viewer) =>
      [...requests.values()].filter((request) => maySee(request, viewer, options.matches)).map((r) => viewOf(r, options.matches)),
    get pending() {
      return pendingOnes().length;
    },
    close() {
      closed = true;
      grants.clear();
      for (const request of pendingOnes()) endUnapproved(request, 'withdrawn', 'the sidecar is going away');
    },
  };
}

const ASKER_NOT_IDENTIFIED =
  'approval needs to know who asks, and this session presented no token: connect with a token (chaperone token --subject NAME), ' +
  'as the PostgreSQL password or as Proxy-Authorization: Bearer';

function refuseTooMany(ask: ApprovalAsk, pending: readonly Request[], options: BrokerOptions): void {
  const asker = askerKey(ask.principals);
  const own = pending.filter((request) => askerKey(request.ask.principals) === asker).length;
  const perAsker = options.maxPendingPerAsker ?? 10;
  if (own >= perAsker) throw new ApprovalError('LimitExceeded', `${own} requests of yours wait already; at most ${perAsker} may`);
  if (pending.length >= (options.maxPending ?? 200))
    throw new ApprovalError('LimitExceeded', 'too many requests wait already', { ofAll: true });
}
