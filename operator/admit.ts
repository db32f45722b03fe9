/** Joins the webhooks: their certificate, what the injector knows of a pod, and the rules that hold for it. */
import { getServers } from 'node:dns';
import { isIP } from 'node:net';
import { isReachable } from '#crds/control/reachable.ts';
import type { PodProblemsContext } from './admission/guard.ts';
import { DEFAULT_RESOURCES, type InjectionContext, type InjectionSettings } from './admission/inject/context.ts';
import { inject } from './admission/inject/inject.ts';
import { hasOwnParts } from './admission/inject/own-parts.ts';
import type { Pod } from './admission/inject/pod.ts';
import { injectionProblems } from './admission/injection-rules.ts';
import { podProblems } from './admission/pod-rules.ts';
import { type AdmissionAnswer, type AdmissionRequest, type JsonObject, refusal } from './admission/review.ts';
import type { AdmissionServerOptions } from './admission/server.ts';
import { mountedCertificates } from './admission/serving.ts';
import { type Admission, startAdmission } from './admission/start.ts';
import type { Config } from './config.ts';
import type { Index } from './index/start.ts';
import type { KubeClient } from './kube/client.ts';
import type { KubeObject } from './kube/resource.ts';
import { NAMESPACES } from './kube/resources.ts';
import type { Authority } from './pki/authority.ts';
import { createServingCertificate } from './pki/serving.ts';
import type { Log } from './telemetry/log.ts';

export interface AdmitOptions {
  readonly config: Config;
  readonly kube: KubeClient;
  readonly index: Index;
  readonly authority: Authority;
  readonly onReview: NonNullable<AdmissionServerOptions['onReview']>;
  readonly log: Log;
}

const SERVICE_ACCOUNT = 'chaperone-operator';
const CLUSTER_DOMAIN = 'cluster.local';
const STATE_SIZE = '1Gi';

/** Rejects where the port can't be had. */
export async function admit({ config, kube, index, authority, onReview, log }: AdmitOptions): Promise<Admission> {
  const host = `${config.serviceName}.${config.namespace}`;
  const onError = (error: unknown) => log.error({}, `the webhooks' certificate: ${error instanceof Error ? error.message : 'unknown'}`);
  const certificates =
    config.webhookCertificate === null
      ? await createServingCertificate({ authority, names: [`${host}.svc`, host, config.serviceName], now: Date.now, onError })
      : mountedCertificates(config.webhookCertificate, onError);
  const contextOf = contexts(config, kube, index, authority, `${host}.svc`);
  const admission = await startAdmission({
    kube,
    namespace: config.namespace,
    serviceAccount: SERVICE_ACCOUNT,
    host: config.listenHost,
    port: config.webhookPort,
    certificates,
    mutate: (request) => mutate(request, contextOf),
    podProblems: async (pod, old, context) => problemsOf(pod, old, context, contextOf),
    onReview,
    now: Date.now,
    log,
  });
  return {
    port: admission.port,
    get caWritten() {
      return admission.caWritten;
    },
    get caSettled() {
      return admission.caSettled;
    },
    leave: () => admission.leave(),
    close: async (graceMs) => {
      await admission.close(graceMs);
      certificates.close();
    },
  };
}

type ContextOf = (namespace: string, pod: Pod) => Promise<InjectionContext | null>;

/** Null while the world is not known: a pod that came then would miss its resources. */
function contexts(config: Config, kube: KubeClient, index: Index, authority: Authority, operatorHost: string): ContextOf {
  const [image] = config.sidecarImages;
  const settings: InjectionSettings | null =
    image === undefined
      ? null
      : {
          image,
          imagePullPolicy: config.sidecarImagePullPolicy,
          operatorHost,
          clusterDomain: CLUSTER_DOMAIN,
          clusterDns: resolvers(config),
          mode: 'Explicit',
          egress: config.egress,
          resources: DEFAULT_RESOURCES,
          snapshotTtlSeconds: config.snapshotTtlSeconds,
          stateSize: STATE_SIZE,
        };
  return async (namespace, pod) => {
    const serviceAccount = pod.spec?.serviceAccountName ?? 'default';
    const snapshot = index.snapshots.current({ namespace, serviceAccount })?.snapshot;
    if (snapshot === undefined || settings === null) return null;
    const { metadata } = await kube.get<KubeObject>(NAMESPACES, { name: namespace });
    const resources = snapshot.resources
      .filter((resource) => isReachable(resource, namespace))
      .map(({ namespace: of, name, address }) => ({ namespace: of, name, address }));
    return { namespace: { name: namespace, labels: metadata.labels ?? {} }, resources, caBundle: authority.bundle, settings };
  };
}

/** An operator in the cluster has the resolvers that every other pod has. */
function resolvers({ clusterDns, kubeconfig }: Config): readonly string[] {
  return clusterDns.length > 0 || kubeconfig !== null ? clusterDns : getServers().filter((address) => isIP(address) !== 0);
}

const NOT_YET = 'chaperone does not know its resources yet: try again';

async function mutate({ object, namespace }: AdmissionRequest, contextOf: ContextOf): Promise<AdmissionAnswer> {
  if (object === null) return refusal(422, 'there is no pod');
  const pod: Pod = object;
  const context = await contextOf(namespace, pod);
  if (context === null) return refusal(503, NOT_YET);
  const injection = inject(pod, context);
  switch (injection.type) {
    case 'patch':
      return { allowed: true, patch: injection.patch, warnings: injection.warnings };
    case 'skip':
      return { allowed: true };
    case 'refused':
      return refusal(403, injection.message);
    default:
      return injection satisfies never;
  }
}

async function problemsOf(
  object: JsonObject,
  old: JsonObject | null,
  { namespace, byOperator }: PodProblemsContext,
  contextOf: ContextOf,
): Promise<readonly string[]> {
  const pod: Pod = object;
  if (old !== null) return podProblems(pod, old, { byOperator });
  const context = await contextOf(namespace, pod);
  if (context === null) return [NOT_YET];
  const problems = injectionProblems(pod, context);
  // A pod that opted out has none of our parts, and is not ours to judge.
  return hasOwnParts(pod) ? [...podProblems(pod, null), ...problems] : problems;
}
