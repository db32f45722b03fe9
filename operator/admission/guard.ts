/** Keeps injected pods what they are, people out of the sidecar's containers, and its tokens with the kubelet. */
import { AUDIENCE, CONTAINERS, LABELS } from '#crds/control/names.ts';
import { GROUP } from '#crds/v1alpha1/kinds.ts';
import { sameValue } from './inject/same.ts';
import {
  type AdmissionAnswer,
  type AdmissionRequest,
  ALLOWED,
  type Handler,
  isObject,
  type JsonObject,
  memberOf,
  refusal,
  textOf,
} from './review.ts';
import { NODES_GROUP } from './webhooks.ts';

export interface PodProblemsContext {
  /** Of the request: a pod that is created names none of its own. */
  readonly namespace: string;
  readonly byOperator: boolean;
}

export interface GuardOptions {
  /**
   * Sentences that say what to change in a pod; empty where it may be. `oldPod` is null at creation. Not asked of the update of a pod that is
   * not injected. `byOperator`: the update is the operator's own.
   */
  readonly podProblems: (
    pod: JsonObject,
    oldPod: JsonObject | null,
    context: PodProblemsContext,
  ) => readonly string[] | Promise<readonly string[]>;
  /** Null where there is none. May reject: then the request is refused. */
  readonly readPod: (namespace: string, name: string) => Promise<JsonObject | null>;
  /** Whom the API server knows the operator by. */
  readonly operatorUser: string;
}

export function guardHandler(options: GuardOptions): Handler {
  return async (request) => {
    const { object, oldObject, namespace } = request;
    if (isTokenRequest(request)) return guardToken(request);
    if (isBinding(request)) return guardBinding(request);
    if (request.resource.group !== '' || request.resource.resource !== 'pods')
      return refusal(422, `not a pod: ${request.resource.resource}`);
    switch (request.operation) {
      case 'CONNECT':
        return guardConnect(request, options);
      case 'CREATE':
        if (object === null) return refusal(422, 'there is no pod');
        return answerOf(await options.podProblems(object, null, { namespace, byOperator: false }));
      case 'UPDATE': {
        if (object === null || oldObject === null) return refusal(422, 'there is no pod');
        if (!isInjected(object) && !isInjected(oldObject)) return ALLOWED;
        if (request.subResource === 'status' && !request.user.groups.includes(NODES_GROUP) && !sameRun(object, oldObject))
          return refusal(
            403,
            `the status of the container ${CONTAINERS.sidecar} is the kubelet's to write: by it a restarted sidecar is told from another`,
          );
        const byOperator = request.user.username === options.operatorUser;
        return answerOf(await options.podProblems(object, oldObject, { namespace, byOperator }));
      }
      case 'DELETE':
        return ALLOWED;
      default:
        return request.operation satisfies never;
    }
  };
}

function isTokenRequest({ resource, subResource }: AdmissionRequest): boolean {
  return resource.group === '' && resource.resource === 'serviceaccounts' && subResource === 'token';
}

function isBinding({ resource, subResource }: AdmissionRequest): boolean {
  return resource.group === '' && (resource.resource === 'bindings' || (resource.resource === 'pods' && subResource === 'binding'));
}

function guardBinding({ object }: AdmissionRequest): AdmissionAnswer {
  const metadata = memberOf(object, 'metadata');
  const ours = ['annotations', 'labels'].flatMap((map) =>
    Object.keys(memberOf(metadata, map)).filter((key) => key.startsWith(`${GROUP}/`)),
  );
  return ours.length === 0 ? ALLOWED : refusal(403, `a binding may not bring ${ours.join(', ')} to a pod: remove it`);
}

/** What the two say of the sidecar, whatever the rest of the status is. */
function sameRun(pod: JsonObject, oldPod: JsonObject): boolean {
  const sidecars = (of: JsonObject) =>
    ['initContainerStatuses', 'containerStatuses'].flatMap((name): unknown[] => {
      const list: unknown = memberOf(of, 'status')[name];
      return Array.isArray(list) ? (list as unknown[]).filter((one) => isObject(one) && one['name'] === CONTAINERS.sidecar) : [];
    });
  return sameValue(sidecars(pod), sidecars(oldPod));
}

/** The kubelet asks for the one that it mounts into the sidecar's container; nobody else has a use for one. */
function guardToken({ object, operation, user }: AdmissionRequest): AdmissionAnswer {
  if (operation !== 'CREATE' || object === null) return refusal(422, 'there is no request for a token');
  if (user.groups.includes(NODES_GROUP)) return ALLOWED;
  const audiences = memberOf(object, 'spec')['audiences'] ?? [];
  if (Array.isArray(audiences) && !audiences.includes(AUDIENCE)) return ALLOWED;
  return refusal(
    403,
    `a token with the audience ${AUDIENCE} is for the sidecar alone, and the kubelet asks for it: choose another audience`,
  );
}

async function guardConnect(request: AdmissionRequest, options: GuardOptions): Promise<AdmissionAnswer> {
  const asked = textOf(request.object?.['container']);
  const container = asked === '' ? await defaultContainer(request, options) : asked;
  if (container !== null && !isOurs(container)) return ALLOWED;
  const what = request.subResource === 'attach' ? 'attach to' : 'exec into';
  const which = container === null ? `a container of ${request.name}` : `the container ${container} of ${request.name}`;
  return refusal(403, `nobody may ${what} ${which}: it holds the target's credential. Name the agent's container (-c)`);
}

/** As kubectl and the API server choose: the annotation, else the first. Where one of the two is ours, that one. */
async function defaultContainer({ namespace, name }: AdmissionRequest, options: GuardOptions): Promise<string | null> {
  const pod = await options.readPod(namespace, name);
  const containers = memberOf(pod, 'spec')['containers'];
  const first = Array.isArray(containers) && isObject(containers[0]) ? textOf(containers[0]['name']) : '';
  const named = textOf(memberOf(memberOf(pod, 'metadata'), 'annotations')['kubectl.kubernetes.io/default-container']);
  const chosen = [named, first].filter((container) => container !== '');
  return chosen.find(isOurs) ?? chosen[0] ?? null;
}

function isInjected(pod: JsonObject): boolean {
  return memberOf(memberOf(pod, 'metadata'), 'labels')[LABELS.injected] === 'true';
}

/** A container of ours, by its name: the sidecar and what comes with it. */
function isOurs(containerName: string): boolean {
  return containerName.startsWith(CONTAINERS.sidecar);
}

function answerOf(problems: readonly string[]): AdmissionAnswer {
  return problems.length === 0 ? ALLOWED : refusal(403, problems.join('\n'));
}
