import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { ApprovalView } from '#sidecar/approvals/view.ts';
import { adminSocketOf } from '#sidecar/start.ts';
import { callAdmin, goodAnswer } from '../admin-client.ts';
import { CliError, EXIT, usageError } from '../exit.ts';
import { type Io, readAll } from '../io.ts';
import type { Common } from '../options.ts';
import { printable, table } from '../sessions/table.ts';
import { type ClusterOptions, decideInCluster, listInCluster } from './approvals-cluster.ts';

interface ApprovalsOptions extends Common {
  readonly state: string;
  /** `-`: stdin. A token is never an argument: every user of a machine can read those. */
  readonly tokenFile: string;
  readonly reason?: string;
  readonly all?: boolean;
}

const NAME = /^apr-[a-z0-9]{6}$/;
const MAX_TOKEN_BYTES = 32 * 1024;

type MakeCommand = (name: string, description: string, examples: readonly string[], parent: Command) => Command;
type Flags = ClusterOptions & Omit<ApprovalsOptions, 'tokenFile'> & { readonly tokenFile?: string };

/** With a token: of the sidecar that runs with a state folder. Without: of a cluster, with the caller's kubeconfig. */
export function addApprovals(make: MakeCommand, program: Command, io: Io, done: (code: number) => void): void {
  const approvals = program.command('approvals').description('Requests that wait for a human: ls, approve, deny');
  const approval = (name: string, description: string, examples: readonly string[]) =>
    make(name, description, examples, approvals)
      .option('--token-file <file>', 'of a sidecar without a cluster: your token; - reads it from stdin (a token is never an argument)')
      .option('--kubeconfig <file>', 'of a cluster; default: as kubectl')
      .option('--context <name>', 'of the kubeconfig')
      .option('-n, --namespace <name>', "the ProtectedResource's; default: the context's");
  approval('ls', 'Requests that wait; without a cluster, those that you asked for or may decide', [
    'approvals ls -n shop',
    'approvals ls --token-file bob.jwt',
  ])
    .option('-A, --all-namespaces', 'of all namespaces')
    .option('--all', 'also those that have ended')
    .action(async (flags: Flags) => done(await (isAlone(flags) ? listApprovals(flags, io) : listInCluster(flags, io))));
  for (const decision of ['approve', 'deny'] as const) {
    approval(`${decision} <name>`, `${decision === 'approve' ? 'Approve' : 'Deny'} a request`, [
      `approvals ${decision} apr-7f3k2m9dxq -n shop --reason "incident 7"`,
      `approvals ${decision} apr-7f3k2m --token-file bob.jwt`,
    ])
      .option('--reason <text>', 'why; some gates want one')
      .action(async (name: string, flags: Flags) =>
        done(await (isAlone(flags) ? decideApproval(name, decision, flags, io) : decideInCluster(name, decision, flags, io))),
      );
  }
}

function isAlone(flags: Flags): flags is Flags & ApprovalsOptions {
  const { tokenFile, kubeconfig, context, namespace, allNamespaces } = flags;
  if (tokenFile === undefined) return false;
  if ([kubeconfig, context, namespace, allNamespaces].every((flag) => flag === undefined)) return true;
  throw usageError('--token-file is for a sidecar without a cluster: leave --kubeconfig, --context and --namespace out');
}

async function listApprovals(options: ApprovalsOptions, io: Io): Promise<number> {
  const body = goodAnswer(await callAdmin(socketOf(options), await tokenOf(options, io), 'GET', '/approvals'));
  const views = (body['approvals'] as readonly ApprovalView[]).filter((view) => options.all === true || view.state === 'pending');
  if (options.output === 'json') io.stdout.write(`${JSON.stringify(views)}\n`);
  else if (views.length === 0) io.stdout.write(options.all === true ? 'no requests\n' : 'no requests wait\n');
  else
    io.stdout.write(
      table(
        ['NAME', 'STATE', 'RESOURCE', 'ASKED BY', 'GATES', 'ENDS IN', 'WHAT'],
        views.map((view) => rowOf(view, io.now())),
      ),
    );
  return EXIT.ok;
}

async function decideApproval(name: string, decision: 'approve' | 'deny', options: ApprovalsOptions, io: Io): Promise<number> {
  if (!NAME.test(name)) throw usageError(`${printable(name)}: a request's name looks like apr-7f3k2m`);
  const body = { decision, ...(options.reason === undefined ? {} : { reason: options.reason }) };
  const answer = await callAdmin(socketOf(options), await tokenOf(options, io), 'POST', `/approvals/${name}`, body);
  const view = goodAnswer(answer) as unknown as ApprovalView;
  if (options.output === 'json') io.stdout.write(`${JSON.stringify(view)}\n`);
  else io.stdout.write(`${view.name} ${wordOf(view)}\n`);
  return EXIT.ok;
}

function wordOf(view: ApprovalView): string {
  if (view.state !== 'pending') return view.state;
  return `has your approval, and waits for ${gatesText(view)}`;
}

function rowOf(view: ApprovalView, nowMs: number): string[] {
  const asker = view.askers.at(-1)?.subject ?? '';
  const left = Math.max(0, Math.round((Date.parse(view.expiresAt) - nowMs) / 1000));
  const what = view.summary.replace(/\s+/g, ' ').trim();
  const ends = view.state === 'pending' ? `${left}s` : '';
  const resource = `${view.resource.namespace}/${view.resource.name}`;
  return [view.name, view.state, resource, asker, gatesText(view), ends, what.length > 100 ? `${what.slice(0, 99)}…` : what];
}

const gatesText = (view: ApprovalView) =>
  view.gates.map((gate) => `${gate.name} ${gate.approved}/${gate.quorum} (${gate.grant})`).join(', ');

const socketOf = (options: ApprovalsOptions) => adminSocketOf(resolve(options.state));

async function tokenOf(options: ApprovalsOptions, io: Io): Promise<string> {
  const jwt = (await readToken(options.tokenFile, io)).trim();
  if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(jwt)) throw new CliError(`--token-file ${options.tokenFile}: holds no token`);
  return jwt;
}

async function readToken(file: string, io: Io): Promise<string> {
  try {
    return file === '-' ? await readAll(io.stdin, MAX_TOKEN_BYTES) : readFileSync(file, 'utf8');
  } catch {
    throw new CliError(`--token-file ${file}: can not be read`);
  }
}
