/** The reasons of the Events that the operator writes: a closed list of stable codes. docs/events.md has a section for each. */
export interface EventCode {
  readonly type: 'Normal' | 'Warning';
  /** What the operator did or refused to do, in CamelCase: the Event's `action`. */
  readonly action: string;
}

export const EVENT_CODES = {
  InvalidSpec: { type: 'Warning', action: 'Compile' },
  ReferenceNotFound: { type: 'Warning', action: 'Compile' },
  SnapshotRejected: { type: 'Warning', action: 'Distribute' },
  RestartRequired: { type: 'Warning', action: 'Distribute' },
  UnmonitoredEgress: { type: 'Warning', action: 'Distribute' },
  EnrolmentRefused: { type: 'Warning', action: 'Enrol' },
  ApprovalRequested: { type: 'Normal', action: 'Approve' },
  ApprovalGranted: { type: 'Normal', action: 'Approve' },
  ApprovalDenied: { type: 'Normal', action: 'Approve' },
  ApprovalExpired: { type: 'Normal', action: 'Approve' },
  ApprovalWithdrawn: { type: 'Normal', action: 'Approve' },
  BecameLeader: { type: 'Normal', action: 'Elect' },
} as const satisfies { readonly [code: string]: EventCode };

export type EventReason = keyof typeof EVENT_CODES;
