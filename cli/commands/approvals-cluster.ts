/** `chaperone approvals` of a cluster: with the caller's own kubeconfig and rights, and nothing that kubectl could not do. */
import { KubeConfig } from '@kubernetes/client-node';
import { type ApprovalDecision, type ApprovalRequest, INTERNAL_KINDS, type InternalKind } from '#crds/v1alpha1/internal-kinds.ts';
import { API_VERSION, GROUP, VERSION } from '#crds/v1alpha1/kinds.ts';
import { clientOn, type KubeClient } from '#operator/kube/client.ts';
import { isKubeError } from '#operator/kube/error.ts';
import type { ResourceRef } from '#operator/kube/resource.ts';
import { createTransport } from '#operator/kube/transport.ts';
import { CliError, EXIT, usageError } from '../exit.ts';
import type { Io } from '../io.ts';
import type { Common } from '../options.ts';
import { printable, table } from '../sessions/table.ts';

export interface ClusterOptions extends Common {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly namespace?: string;
  readonly allNamespaces?: boolean;
  readonly reason?: string;
  readonly all?: boolean;
}

const REQUESTS = refOf('ApprovalRequest');
const DECISIONS = refOf('ApprovalDecision');
/** How long the operator may take to count a decision before we say only that it was taken. */
const COUNTED_MS = 5000;
const LOOK_AGAIN_MS = 200;

export async function listInCluster(options: ClusterOptions, io: Io): Promise<number> {
  return withCluster(options, async (kube, namespace) => {
    const { items } = await kube.list<ApprovalRequest>(REQUESTS, options.allNamespaces === true ? {} : { namespace });
    const shown = items.filter((request) => options.all === true || stateOf(request) === 'Pending');
    if (options.output === 'json') io.stdout.write(`${JSON.stringify(shown)}\n`);
    else if (shown.length === 0) io.stdout.write(options.all === true ? 'no requests\n' : 'no requests wait\n');
    else {
      const rows = shown.map((request) => rowOf(request, io.now()));
      io.stdout.write(table(['NAME', 'STATE', 'RESOURCE', 'ASKED BY', 'GATES', 'ENDS IN', 'WHAT'], rows));
    }
    return EXIT.ok;
  });
}

export async function decideInCluster(name: string, decision: 'approve' | 'deny', options: ClusterOptions, io: Io): Promise<number> {
  if (!/^apr-[a-z0-9]{6,10}$/.test(name)) throw usageError(`${printable(name)}: a request's name looks like apr-7f3k2m9dxq`);
  return withCluster(options, async (kube, namespace) => {
    const made = await kube.create<ApprovalDecision>(DECISIONS, {
      apiVersion: API_VERSION,
      kind: 'ApprovalDecision',
      // The webhook makes the name, of the request's and ours.
      metadata: { name: '', namespace, generateName: `${name}-` } as ApprovalDecision['metadata'],
      spec: {
        requestRef: { name },
        decision: decision === 'approve' ? 'Approve' : 'Deny',
        ...(options.reason === undefined ? {} : { reason: options.reason }),
      },
    });
    const request = await counted(kube, namespace, name, made.metadata.name);
    if (options.output === 'json') io.stdout.write(`${JSON.stringify(request)}\n`);
    else io.stdout.write(`${name} ${wordOf(request, made.metadata.name)}\n`);
    return EXIT.ok;
  });
}

/** The request once the operator has counted our decision, or as it is after a while. */
async function counted(kube: KubeClient, namespace: string, name: string, decision: string): Promise<ApprovalRequest> {
  const until = performance.now() + COUNTED_MS;
  for (;;) {
    const request = await kube.get<ApprovalRequest>(REQUESTS, { namespace, name });
    if (isCounted(request, decision) || performance.now() >= until) return request;
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
}

function isCounted({ status }: ApprovalRequest, decision: string): boolean {
  return status?.decisions?.some(({ name }) => name === decision) === true;
}

function wordOf(request: ApprovalRequest, decision: string): string {
  const state = stateOf(request);
  if (state !== 'Pending') return state.toLowerCase();
  return isCounted(request, decision)
    ? `has your approval, and waits for ${gatesText(request)}`
    : 'has your decision, and the operator has not counted it yet';
}

function rowOf(request: ApprovalRequest, nowMs: number): string[] {
  const { metadata, spec } = request;
  const left = Math.max(0, Math.round((Date.parse(spec.expiresAt) - nowMs) / 1000));
  const what = printable(spec.summary.replace(/\s+/g, ' ').trim());
  const state = stateOf(request);
  return [
    metadata.name,
    state,
    `${metadata.namespace}/${spec.resource}`,
    printable(spec.asker),
    gatesText(request),
    state === 'Pending' ? `${left}s` : '',
    what.length > 100 ? `${what.slice(0, 99)}…` : what,
  ];
}

const stateOf = ({ status }: ApprovalRequest) => status?.state ?? 'Pending';

function gatesText({ spec, status }: ApprovalRequest): string {
  const counts = (status?.approvals ?? '').split(', ');
  return spec.gates.map(({ name, quorum }, i) => `${name} ${counts[i] || `0/${quorum}`}`).join(', ');
}

async function withCluster(options: ClusterOptions, run: (kube: KubeClient, namespace: string) => Promise<number>): Promise<number> {
  const { kube, namespace } = clusterOf(options);
  try {
    return await run(kube, namespace);
  } catch (error: unknown) {
    if (!isKubeError(error)) throw error;
    // What a webhook says is for the person; what stands before it is not.
    const said = error.message.replace(/^[A-Z]+ \S+: /, '').replace(/^admission webhook "[^"]*" denied the request: /, '');
    const refused = isKubeError(error, 'Forbidden', 'Unauthorized', 'Invalid', 'AlreadyExists', 'Conflict');
    throw new CliError(
      printable(isKubeError(error, 'AlreadyExists') ? 'AlreadyDecided: you have decided this request already' : said),
      refused ? EXIT.denied : EXIT.failed,
    );
  } finally {
    kube.close();
  }
}

function clusterOf({ kubeconfig, context, namespace }: ClusterOptions): { readonly kube: KubeClient; readonly namespace: string } {
  const config = new KubeConfig();
  try {
    if (kubeconfig === undefined) config.loadFromDefault();
    else config.loadFromFile(kubeconfig);
  } catch {
    throw new CliError(`--kubeconfig ${kubeconfig ?? '(the default)'}: can not be read`);
  }
  if (context !== undefined) config.setCurrentContext(context);
  const current = config.getContextObject(config.getCurrentContext());
  if (current === null) throw new CliError(`--context ${context ?? config.getCurrentContext()}: the kubeconfig has no such context`);
  return { kube: clientOn(createTransport(config)), namespace: namespace ?? current.namespace ?? 'default' };
}

function refOf(kind: InternalKind): ResourceRef {
  return { group: GROUP, version: VERSION, plural: INTERNAL_KINDS[kind].plural, kind, namespaced: true };
}
