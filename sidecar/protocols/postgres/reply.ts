import type { Verdict } from '#crds/policy/verdict.ts';
import type { ErrorFields } from '../../wire/postgres/messages/error_notice.ts';
import type { Expect } from './expect.ts';

/** insufficient_privilege: every denial that a policy makes. */
export const DENIED = '42501';
/** program_limit_exceeded. */
export const OVER_LIMIT = '54000';
/** query_canceled: the client cancelled what was held. */
export const CANCELED = '57014';

/** A denial in the protocol's own words: SQLSTATE, a message that names policy and rule, and a hint. */
export function denialFields(verdict: Verdict, sqlstate: string, severity: 'ERROR' | 'FATAL' = 'ERROR'): ErrorFields {
  return { severity, sqlstate, message: `chaperone: ${verdict.message}`, hint: hintFor(verdict) };
}

/** In place of the server's error of what it was made to reject. */
export function poisoned({ fields, placedByServer }: Expect & { type: 'poison' }, own: ErrorFields): ErrorFields {
  // Both are made by the same lines of the scanner, or the place is another.
  if (!placedByServer || own.file !== fields.file || own.routine !== fields.routine) return fields;
  const { severity, severityEnglish, line } = own;
  return { ...fields, severity, ...(severityEnglish !== undefined && { severityEnglish }), ...(line !== undefined && { line }) };
}

/** The unrecoverable end of a session. */
export function fatalFields(sqlstate: string, message: string, hint?: string): ErrorFields {
  return { severity: 'FATAL', sqlstate, message: `chaperone: ${message}`, ...(hint !== undefined && { hint }) };
}

export function heldNotice(name: string, verdict: Verdict, waitSeconds: number): ErrorFields {
  return {
    severity: 'NOTICE',
    sqlstate: '00000',
    message: `chaperone: ${verdict.message}; waiting for approval ${name}`,
    hint: `It is decided with "chaperone approvals approve ${name}" within ${waitSeconds} s. Cancelling the statement withdraws the request.`,
  };
}

function hintFor(verdict: Verdict): string {
  switch (verdict.code) {
    case 'DeniedByRule':
      return 'Policy forbids this. "chaperone simulate" shows each rule that was looked at.';
    case 'NoRuleMatches':
    case 'NoPolicyForSubject':
      return 'What no rule allows is denied. "chaperone simulate" shows each rule that was looked at.';
    case 'NotRewritable':
    case 'NotResolved':
      return 'The target has masked columns: name relations and columns plainly, or ask for the columns that you need.';
    case 'Unparsable':
      return 'A statement that can not be parsed can not be judged.';
    case 'AskerNotIdentified':
      return 'Present a token of your own as the password (see "chaperone token").';
    case 'ApprovalTimedOut':
    case 'ApprovalDenied':
    case 'ApprovalWithdrawn':
      return 'The statement did not run. Send it again to ask again.';
    case 'PolicyChanged':
      return 'Prepare the statement (or declare the cursor) again.';
    default:
      return `Reason ${verdict.code}; see docs/reasons.md.`;
  }
}
