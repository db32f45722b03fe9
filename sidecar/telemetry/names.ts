import type { VerdictLine } from '../pipeline.ts';
import type { Labels, Metric } from './metrics.ts';

export const VERDICTS: Metric = {
  name: 'chaperone_verdicts_total',
  help: 'Verdicts by resource, decision, reason, policy and rule.',
  type: 'counter',
};
export const APPROVALS: Metric = { name: 'chaperone_approvals_total', help: 'Approval requests by resource and state.', type: 'counter' };
export const APPROVALS_PENDING: Metric = { name: 'chaperone_approvals_pending', help: 'Approval requests that wait.', type: 'gauge' };
export const CONNECTIONS: Metric = { name: 'chaperone_connections', help: 'Open connections by resource.', type: 'gauge' };
export const UNAUTHENTICATED: Metric = {
  name: 'chaperone_connections_unauthenticated',
  help: 'Open connections that are not through their login, by resource.',
  type: 'gauge',
};
export const LIMITS: Metric = {
  name: 'chaperone_limit_exceeded_total',
  help: 'Times that a limit was exceeded, by limit and resource.',
  type: 'counter',
};
export const ASSURANCE: Metric = {
  name: 'chaperone_session_assurance',
  help: 'Open sessions by resource and assurance of masking (A, B, C, None); a session counts from its first statement.',
  type: 'gauge',
};
export const BUFFERED: Metric = {
  name: 'chaperone_buffered_bytes',
  help: 'Bytes of messages that are not complete or not sent on yet.',
  type: 'gauge',
};
export const LAG: Metric = {
  name: 'chaperone_event_loop_lag_seconds',
  help: 'The longest that the event loop was held up in the last second.',
  type: 'gauge',
};
export const EGRESS: Metric = {
  name: 'chaperone_unmonitored_egress_total',
  help: 'Redirected connections to addresses of no ProtectedResource, by what became of them.',
  type: 'counter',
};
export const RELOADS: Metric = { name: 'chaperone_policy_reloads_total', help: 'Snapshots that were taken or refused.', type: 'counter' };
export const SNAPSHOT: Metric = { name: 'chaperone_policy_info', help: 'Version of the snapshot in force.', type: 'gauge' };
export const RESIDENT: Metric = { name: 'process_resident_memory_bytes', help: 'Resident memory of the process.', type: 'gauge' };

export function verdictLabels({ resource, verdict }: VerdictLine): Labels {
  const author = verdict.authors[0];
  return {
    namespace: resource.namespace,
    resource: resource.name,
    decision: verdict.decision,
    code: verdict.code,
    policy: author === undefined ? '' : `${author.namespace}/${author.name}`,
    rule: author?.rule ?? '',
  };
}

export const UPLOAD_SPOOL: Metric = {
  name: 'chaperone_recording_spool_bytes',
  help: 'Recordings that the bucket does not have yet.',
  type: 'gauge',
};
export const UPLOAD_OLDEST: Metric = {
  name: 'chaperone_recording_spool_oldest_seconds',
  help: 'Age of the oldest sealed segment that the bucket does not have yet.',
  type: 'gauge',
};
export const UPLOAD_STORED: Metric = {
  name: 'chaperone_recording_stored_objects',
  help: 'Objects stored in the bucket since the start.',
  type: 'gauge',
};
export const UPLOAD_FAILURES: Metric = {
  name: 'chaperone_recording_upload_failures',
  help: 'Uploads that failed since the start; each is tried again.',
  type: 'gauge',
};
export const UPLOAD_STUCK: Metric = {
  name: 'chaperone_recording_stuck_segments',
  help: 'Segments that operator or bucket refuse.',
  type: 'gauge',
};
