import type { ReasonCode, Verdict } from '#crds/policy/verdict.ts';

/** A refusal as RFC 9457 problem details. */
export interface Problem {
  readonly status: number;
  readonly body: string;
  readonly headers: readonly (readonly [string, string])[];
}

export function denialProblem(verdict: Verdict): Problem {
  const author = verdict.authors[0];
  const named = author !== undefined && author.kind !== 'Chaperone';
  return problem(statusOf(verdict.code), 'Denied by policy', verdict.code, `chaperone: ${verdict.message}`, {
    ...(named && { policy: { kind: author.kind, namespace: author.namespace, name: author.name, generation: author.generation } }),
    ...(author !== undefined && { rule: author.rule }),
    hint: hintFor(verdict.code),
  });
}

/** What is wrong with a request or a target, with no policy behind it. */
export function plainProblem(status: number, code: string, detail: string, headers: readonly (readonly [string, string])[] = []): Problem {
  return { ...problem(status, TITLES[status] ?? 'Refused', code, `chaperone: ${detail}`, {}), headers };
}

function problem(status: number, title: string, code: string, detail: string, members: object): Problem {
  return { status, body: `${JSON.stringify({ type: 'about:blank', title, status, code, detail, ...members })}\n`, headers: [] };
}

const TITLES: { readonly [status: number]: string } = {
  400: 'Bad request',
  407: 'Proxy authentication required',
  421: 'Misdirected request',
  502: 'The target could not be reached',
  503: 'Not available',
};

function statusOf(code: ReasonCode): number {
  switch (code) {
    case 'LimitExceeded':
      return 429;
    case 'RecordingUnavailable':
      return 503;
    default:
      return 403;
  }
}

function hintFor(code: ReasonCode): string {
  switch (code) {
    case 'NoRuleMatches':
    case 'NoPolicyForSubject':
      return 'What no rule allows is denied. "chaperone simulate" shows each rule that was looked at.';
    case 'AskerNotIdentified':
      return 'Present a token of your own as "Proxy-Authorization: Bearer" (see "chaperone token").';
    case 'ApprovalTimedOut':
    case 'ApprovalDenied':
    case 'ApprovalWithdrawn':
      return 'The request was not sent. Send it again to ask again.';
    default:
      return `Reason ${code}; see docs/reasons.md.`;
  }
}
