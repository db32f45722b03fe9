import type { KubeClient } from '../kube/client.ts';
import { isKubeError } from '../kube/error.ts';
import type { KubeObject, ResourceRef } from '../kube/resource.ts';
import type { SecretStore } from './store.ts';

const SECRETS: ResourceRef = { group: '', version: 'v1', plural: 'secrets', kind: 'Secret', namespaced: true };

interface Secret extends KubeObject {
  readonly type?: string;
  readonly data?: Readonly<Record<string, string>>;
}

/** The Secret of the CA in the operator's namespace. */
export function secretStore(kube: Pick<KubeClient, 'get' | 'create' | 'update'>, namespace: string, name: string): SecretStore {
  const secret = (data: Readonly<Record<string, string>>, resourceVersion?: string): Secret => ({
    metadata: { namespace, name, ...(resourceVersion === undefined ? {} : { resourceVersion }) },
    type: 'Opaque',
    data: mapped(data, (text) => Buffer.from(text).toString('base64')),
  });
  return {
    async read() {
      try {
        const { data = {}, metadata } = await kube.get<Secret>(SECRETS, { namespace, name });
        return { data: mapped(data, (text) => Buffer.from(text, 'base64').toString()), resourceVersion: metadata.resourceVersion ?? '' };
      } catch (error: unknown) {
        if (isKubeError(error, 'NotFound')) return null;
        throw error;
      }
    },
    create: (data) => unless('AlreadyExists', kube.create(SECRETS, secret(data))),
    replace: (data, resourceVersion) => unless('Conflict', kube.update(SECRETS, secret(data, resourceVersion))),
  };
}

async function unless(code: 'AlreadyExists' | 'Conflict', call: Promise<unknown>): Promise<boolean> {
  try {
    await call;
    return true;
  } catch (error: unknown) {
    if (isKubeError(error, code)) return false;
    throw error;
  }
}

function mapped(data: Readonly<Record<string, string>>, change: (text: string) => string): Record<string, string> {
  return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, change(value)]));
}
