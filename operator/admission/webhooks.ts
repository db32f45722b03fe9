/**
 * The webhooks, as data: the chart's configurations and the server's routes are made of this table.
 *
 * Those for pods are narrow, because they fail closed: never kube-system, never our own namespace, and of the others only pods that have to do
 * with us. Those for our own kinds are for every namespace, for a decision in any of them has to be stamped; without the operator nothing but
 * our own kinds can't be written.
 */
import { ANNOTATIONS, AUDIENCE, CONTAINERS, INJECTION_VALUES, LABELS } from '#crds/control/names.ts';
import { GROUP, KINDS, VERSION } from '#crds/v1alpha1/kinds.ts';

export const WEBHOOK_PATHS = ['/validate', '/mutate', '/guard', '/approvals', '/approvals/check'] as const;
export type WebhookPath = (typeof WEBHOOK_PATHS)[number];

export type WebhookType = 'Validating' | 'Mutating';

export interface WebhookRule {
  readonly apiGroups: readonly string[];
  readonly apiVersions: readonly string[];
  readonly operations: readonly ('CREATE' | 'UPDATE' | 'CONNECT')[];
  readonly resources: readonly string[];
  readonly scope: 'Namespaced';
}

export interface LabelSelector {
  readonly matchLabels?: { readonly [label: string]: string };
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: 'In' | 'NotIn';
    readonly values: readonly string[];
  }[];
}

export interface Webhook {
  readonly type: WebhookType;
  readonly name: `${string}.chaperone.dev`;
  readonly path: WebhookPath;
  readonly rules: readonly WebhookRule[];
  readonly namespaceSelector?: LabelSelector;
  readonly objectSelector?: LabelSelector;
  /** CEL; all of them must hold. */
  readonly matchConditions?: readonly { readonly name: string; readonly expression: string }[];
}

export interface WebhookOptions {
  /** The operator's own. */
  readonly namespace: string;
  /** Of the operator. */
  readonly serviceAccount: string;
}

const NAMESPACE_NAME = 'kubernetes.io/metadata.name';
/** Of kubelets, as the API server knows them. The node authorizer gives each tokens of the pods on its node, and of no other. */
export const NODES_GROUP = 'system:nodes';

export function operatorUser({ namespace, serviceAccount }: WebhookOptions): string {
  return `system:serviceaccount:${namespace}:${serviceAccount}`;
}

export function webhooksOf(options: WebhookOptions): readonly Webhook[] {
  const elsewhere = { key: NAMESPACE_NAME, operator: 'NotIn', values: ['kube-system', options.namespace] } as const;
  const injecting = { key: LABELS.injection, operator: 'In', values: INJECTION_VALUES } as const;
  const notInjecting = { ...injecting, operator: 'NotIn' } as const;
  const optedIn = {
    name: 'opted-in',
    // Whatever it says but 'false': what is no value is refused, and not left without a sidecar.
    expression: `has(object.metadata.annotations) && '${ANNOTATIONS.inject}' in object.metadata.annotations && object.metadata.annotations['${ANNOTATIONS.inject}'] != 'false'`,
  };
  const injected = { matchLabels: { [LABELS.injected]: 'true' } };
  const notOurselves = { name: 'not-the-operator', expression: `request.userInfo.username != '${operatorUser(options)}'` };
  return [
    {
      type: 'Mutating',
      name: 'inject.namespace.chaperone.dev',
      path: '/mutate',
      rules: [pods(['CREATE'])],
      namespaceSelector: { matchExpressions: [elsewhere, injecting] },
    },
    {
      type: 'Mutating',
      name: 'inject.pod.chaperone.dev',
      path: '/mutate',
      rules: [pods(['CREATE'])],
      namespaceSelector: { matchExpressions: [elsewhere, notInjecting] },
      matchConditions: [optedIn],
    },
    { type: 'Mutating', name: 'stamp.chaperone.dev', path: '/approvals', rules: [ours(['approvaldecisions'], ['CREATE'])] },
    {
      type: 'Validating',
      name: 'validate.chaperone.dev',
      path: '/validate',
      rules: [
        ours(
          Object.values(KINDS).map(({ plural }) => plural),
          ['CREATE', 'UPDATE'],
        ),
      ],
    },
    {
      type: 'Validating',
      name: 'decisions.chaperone.dev',
      path: '/approvals/check',
      rules: [ours(['approvaldecisions'], ['CREATE', 'UPDATE'])],
    },
    {
      type: 'Validating',
      name: 'requests.chaperone.dev',
      path: '/approvals/check',
      rules: [ours(['approvalrequests', 'approvalrequests/status'], ['CREATE', 'UPDATE'])],
      matchConditions: [notOurselves],
    },
    {
      type: 'Validating',
      name: 'guard.namespace.chaperone.dev',
      path: '/guard',
      rules: [pods(['CREATE', 'UPDATE'])],
      namespaceSelector: { matchExpressions: [elsewhere, injecting] },
    },
    {
      type: 'Validating',
      name: 'guard.pod.chaperone.dev',
      path: '/guard',
      rules: [pods(['CREATE'])],
      namespaceSelector: { matchExpressions: [elsewhere, notInjecting] },
      matchConditions: [optedIn],
    },
    {
      // A pod that was injected stays guarded whatever becomes of its namespace's label: the selector looks at the old object too.
      type: 'Validating',
      name: 'guard.injected.chaperone.dev',
      path: '/guard',
      rules: [{ ...pods(['CREATE', 'UPDATE']), resources: ['pods', 'pods/ephemeralcontainers', 'pods/resize'] }],
      namespaceSelector: { matchExpressions: [elsewhere] },
      objectSelector: injected,
    },
    {
      // The status can be written with other metadata, and says when the sidecar was restarted. Kubelets and controllers write it all the time, without the
      // operator: it is asked only of what none of them does.
      type: 'Validating',
      name: 'guard.status.chaperone.dev',
      path: '/guard',
      rules: [{ ...pods(['UPDATE']), resources: ['pods/status'] }],
      namespaceSelector: { matchExpressions: [elsewhere] },
      objectSelector: injected,
      matchConditions: [{ name: 'what-is-the-injectors', expression: changesOurs() }],
    },
    {
      // A binding's annotations become the pod's.
      type: 'Validating',
      name: 'guard.binding.chaperone.dev',
      path: '/guard',
      rules: [{ ...pods(['CREATE']), resources: ['pods/binding', 'bindings'] }],
      namespaceSelector: { matchExpressions: [elsewhere] },
      matchConditions: [
        {
          name: 'what-is-the-injectors',
          expression: ['annotations', 'labels']
            .map((map) => `(has(object.metadata.${map}) && object.metadata.${map}.exists(key, key.startsWith('${GROUP}/')))`)
            .join(' || '),
        },
      ],
    },
    {
      // What is connected to has no labels, so the container's name has to tell. kubectl always names one.
      type: 'Validating',
      name: 'guard.exec.chaperone.dev',
      path: '/guard',
      rules: [{ ...pods(['CONNECT']), resources: ['pods/exec', 'pods/attach'] }],
      namespaceSelector: { matchExpressions: [elsewhere] },
      matchConditions: [
        {
          name: 'into-the-sidecar',
          expression: `!has(object.container) || object.container == '' || object.container.startsWith('${CONTAINERS.sidecar}')`,
        },
      ],
    },
    {
      // Who may create tokens of an agent's ServiceAccount could otherwise be its sidecar between a restart of that and its enrolment.
      type: 'Validating',
      name: 'guard.token.chaperone.dev',
      path: '/guard',
      rules: [{ ...pods(['CREATE']), resources: ['serviceaccounts/token'] }],
      namespaceSelector: { matchExpressions: [elsewhere] },
      matchConditions: [
        { name: 'for-the-operator', expression: `has(object.spec.audiences) && '${AUDIENCE}' in object.spec.audiences` },
        { name: 'not-a-kubelet', expression: `!('${NODES_GROUP}' in request.userInfo.groups)` },
      ],
    },
  ];
}

/** CEL: a label or an annotation that counts is another, or somebody who is no kubelet says something else of the sidecar. */
function changesOurs(): string {
  const value = (object: string, map: string, key: string) =>
    `(has(${object}.metadata.${map}) && '${key}' in ${object}.metadata.${map} ? ${object}.metadata.${map}['${key}'] : '')`;
  const changes = (of: (object: string) => string) => `${of('object')} != ${of('oldObject')}`;
  const list = (object: string, name: string) => `(has(${object}.status.${name}) ? ${object}.status.${name} : [])`;
  const sidecar = (object: string) =>
    `(${list(object, 'initContainerStatuses')} + ${list(object, 'containerStatuses')}).filter(status, status.name == '${CONTAINERS.sidecar}')`;
  return [
    changes((object) => value(object, 'labels', LABELS.injected)),
    ...[ANNOTATIONS.status, ANNOTATIONS.mode, ANNOTATIONS.caBundle].map((key) => changes((object) => value(object, 'annotations', key))),
    `(!('${NODES_GROUP}' in request.userInfo.groups) && ${changes(sidecar)})`,
  ].join(' || ');
}

function pods(operations: WebhookRule['operations']): WebhookRule {
  return { apiGroups: [''], apiVersions: ['v1'], operations, resources: ['pods'], scope: 'Namespaced' };
}

function ours(resources: readonly string[], operations: WebhookRule['operations']): WebhookRule {
  return { apiGroups: [GROUP], apiVersions: [VERSION], operations, resources, scope: 'Namespaced' };
}
