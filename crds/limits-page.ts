/** docs/limits.md, from the table of limits. */
import { type LimitSpec, PROCESS_LIMITS, RESOURCE_LIMITS } from './policy/limits.ts';

const INTRODUCTION = `# Limits

<!-- Generated from crds/policy/limits.ts by \`npm run generate\`. Do not edit. -->

What one agent may take of its sidecar. A limit that is exceeded is told to the client in its protocol's words, counted in
\`chaperone_limit_exceeded_total{limit="…"}\` ([metrics.md](metrics.md)), and recorded: in the session's recording, or in the log where there is no session yet.
Nothing is ever let through because a limit was reached. What a *session* may use of a target (rows, bytes, duration, commands in a minute) is set by
\`limits\` of an [AccessPolicy](api.md#accesspolicy).
`;

const OF_A_TARGET = `
## Of a target
\`spec.limits\` of a [ProtectedResource](api.md#protectedresource); each can be lowered and raised within its bounds, and is in the snapshot that the sidecar
gets. A session keeps what it began with; how many connections there may be counts at once.

`;

const OF_THE_PROCESS = `
## Of the process
\`--limit NAME=VALUE\` of \`chaperone run\` and of the sidecar, as often as needed.

`;

const FIXED = `
## Fixed
Set by a protocol, or so that nothing can be gained by another value. A packet of PostgreSQL's startup: 10,000 bytes. A password, token or SASL message: 65,535 bytes
(a token: 16 KiB). Every other message without data: 30,000 bytes. A name: 63 bytes. A value of a startup parameter: 1,024 bytes. An HTTP header: 32 KiB in
100 lines, 16 KiB for the target; a request body that is judged or held: 1 MiB. What an approver is shown: 16 KiB. Texts in a recording are cut, and say so.
`;

export function limitsPage(): string {
  return [INTRODUCTION, OF_A_TARGET, table(RESOURCE_LIMITS), OF_THE_PROCESS, table(PROCESS_LIMITS), FIXED].join('');
}

function table(specs: { readonly [name: string]: LimitSpec }): string {
  const rows = Object.entries(specs).map(
    ([name, spec]) =>
      `| \`${name}\` | ${spec.unit} | ${amount(spec.default, spec)} | ${amount(spec.minimum, spec)} to ${amount(spec.maximum, spec)} | ${spec.what} | ${spec.exceeded} |\n`,
  );
  return `| limit | unit | default | bounds | what | beyond |\n| --- | --- | --- | --- | --- | --- |\n${rows.join('')}`;
}

const MIB = 1024 * 1024;

function amount(value: number, { unit }: LimitSpec): string {
  if (unit !== 'bytes') return value.toLocaleString('en-US');
  return value % MIB === 0 ? `${value / MIB} MiB` : `${value / 1024} KiB`;
}
