/** The two webhook configurations as objects: what the chart renders, what tests apply, and what the operator writes its CA into. */
import type { JsonObject } from './review.ts';
import { type Webhook, type WebhookOptions, type WebhookType, webhooksOf } from './webhooks.ts';

/** Name of both configurations. */
export const CONFIGURATION = 'chaperone';

export interface ConfigurationOptions extends WebhookOptions {
  readonly timeoutSeconds?: number;
  readonly reinvocationPolicy?: 'Never' | 'IfNeeded';
  /** `clientConfig` for a path, without a CA: the operator writes that. */
  readonly clientConfig: (path: string) => JsonObject;
}

export function serviceClientConfig(namespace: string, service: string, port: number): ConfigurationOptions['clientConfig'] {
  return (path) => ({ service: { namespace, name: service, path, port } });
}

export function webhookConfiguration(type: WebhookType, options: ConfigurationOptions): JsonObject {
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: `${type}WebhookConfiguration`,
    metadata: { name: CONFIGURATION },
    webhooks: webhooksOf(options)
      .filter((webhook) => webhook.type === type)
      .map((webhook) => webhookObject(webhook, options)),
  };
}

function webhookObject(webhook: Webhook, options: ConfigurationOptions): JsonObject {
  const { type, path, ...rest } = webhook;
  return {
    ...rest,
    clientConfig: options.clientConfig(path),
    admissionReviewVersions: ['v1'],
    sideEffects: 'None',
    failurePolicy: 'Fail',
    matchPolicy: 'Equivalent',
    timeoutSeconds: options.timeoutSeconds ?? 5,
    ...(type === 'Mutating' ? { reinvocationPolicy: options.reinvocationPolicy ?? 'IfNeeded' } : {}),
  };
}

/** Server-side apply of this writes nothing but the CA. `caBundle` is PEM. */
export function caPatch(type: WebhookType, options: WebhookOptions, caBundle: string): JsonObject {
  const encoded = Buffer.from(caBundle).toString('base64');
  return {
    metadata: { name: CONFIGURATION },
    webhooks: webhooksOf(options)
      .filter((webhook) => webhook.type === type)
      .map(({ name }) => ({ name, clientConfig: { caBundle: encoded } })),
  };
}
