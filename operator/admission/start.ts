/** Joins the webhooks' routes, and keeps the CA in the two configurations. */
import type { KubeClient } from '../kube/client.ts';
import { isKubeError } from '../kube/error.ts';
import type { KubeObject, ResourceRef } from '../kube/resource.ts';
import { checkHandler, stampHandler } from './approvals.ts';
import { CONFIGURATION, caPatch } from './configuration.ts';
import { type GuardOptions, guardHandler } from './guard.ts';
import { clusterLookup } from './lookup.ts';
import type { Handler } from './review.ts';
import { type AdmissionLog, type AdmissionServer, type AdmissionServerOptions, serveAdmission } from './server.ts';
import type { ServingCertificates } from './serving.ts';
import { validateHandler } from './validate.ts';
import { operatorUser, type WebhookOptions, type WebhookType } from './webhooks.ts';

export interface AdmissionOptions extends WebhookOptions {
  readonly kube: KubeClient;
  readonly port: number;
  readonly host?: string;
  readonly certificates: ServingCertificates;
  /** The injector: `/mutate`. */
  readonly mutate: Handler;
  readonly podProblems: GuardOptions['podProblems'];
  readonly now: () => number;
  readonly log: AdmissionLog;
  readonly onReview?: AdmissionServerOptions['onReview'];
}

export interface Admission extends AdmissionServer {
  /** Whether the CA is in both configurations. */
  readonly caWritten: boolean;
  /** Whether it was in both once, or there were none to write it into: until then the API server can't call this replica, and it is not ready. */
  readonly caSettled: boolean;
}

/** Between two looks. Where somebody made the configurations anew, every opted-in pod is refused until the CA is in them again. */
const AGAIN_MS = 5000;
const RETRY_MS = 2000;

export async function startAdmission(options: AdmissionOptions): Promise<Admission> {
  const { certificates, kube, log } = options;
  const lookup = clusterLookup(kube);
  const user = operatorUser(options);
  const approvals = { ...lookup, operatorUser: user, now: options.now };
  const server = await serveAdmission({
    port: options.port,
    ...(options.host === undefined ? {} : { host: options.host }),
    certificates,
    log,
    ...(options.onReview === undefined ? {} : { onReview: options.onReview }),
    routes: {
      '/validate': validateHandler(lookup),
      '/mutate': options.mutate,
      '/guard': guardHandler({ podProblems: options.podProblems, readPod: lookup.readPod, operatorUser: user }),
      '/approvals': stampHandler(approvals),
      '/approvals/check': checkHandler(approvals),
    },
  });

  let written = false;
  let settled = false;
  let told: string | null = null;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;
  let writing = Promise.resolve();
  const write = async (always: boolean) => {
    clearTimeout(timer);
    const { bundle } = certificates.current;
    try {
      for (const type of ['Validating', 'Mutating'] as const) await applyCa(kube, type, options, bundle, always);
      written = true;
      settled = true;
      told = null;
    } catch (error: unknown) {
      written = false;
      // Taken away by somebody (break-glass), or not installed: no pod waits for them.
      if (isKubeError(error, 'NotFound')) settled = true;
      const why = error instanceof Error ? error.message : 'unknown';
      // Somebody may have taken the configurations away for an hour.
      if (why !== told) log.warn({}, `admission: the CA could not be written into the webhook configurations: ${why}`);
      told = why;
    }
    if (!closed) timer = setTimeout(next, written ? AGAIN_MS : RETRY_MS, !written).unref();
  };
  const next = (always: boolean) => {
    writing = writing.then(() => write(always));
  };
  next(true);
  const forget = certificates.onChange(() => next(true));
  return {
    port: server.port,
    get caWritten() {
      return written;
    },
    get caSettled() {
      return settled;
    },
    leave: () => server.leave(),
    close: async (graceMs) => {
      closed = true;
      forget();
      clearTimeout(timer);
      await Promise.all([server.close(graceMs), writing]);
      clearTimeout(timer);
    },
  };
}

async function applyCa(kube: KubeClient, type: WebhookType, options: WebhookOptions, bundle: string, always: boolean): Promise<void> {
  const current = await kube.get<WebhookConfiguration>(configurationRef(type), { name: CONFIGURATION });
  if (!always && (current.webhooks ?? []).every(({ clientConfig }) => trusts(clientConfig.caBundle ?? '', bundle))) return;
  const { metadata, ...rest } = caPatch(type, options, bundle) as { readonly metadata: { readonly name: string } };
  // The chart leaves the field to us; whoever else has put a CA there loses it.
  await kube.apply(configurationRef(type), { metadata, ...rest }, { fieldManager: 'chaperone-ca', force: true });
}

interface WebhookConfiguration extends KubeObject {
  readonly webhooks?: readonly { readonly clientConfig: { readonly caBundle?: string } }[];
}

/** More is no harm: another replica may know the next CA already. */
function trusts(caBundle: string, bundle: string): boolean {
  const known = new Set(certificatesIn(Buffer.from(caBundle, 'base64').toString()));
  return certificatesIn(bundle).every((certificate) => known.has(certificate));
}

function certificatesIn(pem: string): string[] {
  return [...pem.matchAll(/-----BEGIN CERTIFICATE-----([^-]+)-----END CERTIFICATE-----/g)].map(([, base64 = '']) =>
    base64.replace(/\s/g, ''),
  );
}

function configurationRef(type: WebhookType): ResourceRef {
  const kind = `${type}WebhookConfiguration`;
  return { group: 'admissionregistration.k8s.io', version: 'v1', plural: `${kind.toLowerCase()}s`, kind, namespaced: false };
}
