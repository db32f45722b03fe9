import type { ChaperoneObject } from '#crds/v1alpha1/kinds.ts';
import type { SecretObject } from '../kube/secrets.ts';
import type { Finding } from './conditions.ts';

export interface SecretNeed {
  readonly name: string;
  readonly keys: readonly string[];
}

/** `undefined`: not known yet; `null`: there is none. */
export type SecretOf = (name: string) => SecretObject | null | undefined;

/** The Secrets of its own namespace that an object names, each once, with the keys that must be there. */
export function secretNeeds(object: ChaperoneObject): readonly SecretNeed[] {
  const needs = new Map<string, Set<string>>();
  const need = (name: string, ...keys: readonly string[]) => needs.set(name, new Set([...(needs.get(name) ?? []), ...keys]));
  switch (object.kind) {
    case 'ProtectedResource': {
      const { tls, postgresql, http } = object.spec;
      if (tls.caSecretRef !== undefined) need(tls.caSecretRef.name, tls.caSecretRef.key);
      for (const { secretRef } of postgresql?.users ?? []) need(secretRef.name, secretRef.usernameKey, secretRef.passwordKey);
      if (http?.credential !== undefined) need(http.credential.secretRef.name, http.credential.secretRef.key);
      break;
    }
    case 'MaskingRule':
      if (object.spec.keySecretRef !== undefined) need(object.spec.keySecretRef.name, object.spec.keySecretRef.key);
      break;
    case 'AccessPolicy':
    case 'ApprovalGate':
      break;
    default:
      return object satisfies never;
  }
  return [...needs].map(([name, keys]) => ({ name, keys: [...keys] }));
}

export function secretsFinding(object: ChaperoneObject, secretOf: SecretOf): Finding {
  const type = 'ResolvedRefs';
  const needs = secretNeeds(object);
  const wrong = needs.flatMap(({ name, keys }) => {
    const secret = secretOf(name);
    if (secret === undefined) return [];
    if (secret === null) return [`Secret ${name} does not exist`];
    return keys.filter((key) => !Object.hasOwn(secret.data ?? {}, key)).map((key) => `Secret ${name} has no key ${key}`);
  });
  if (wrong.length > 0) return { type, status: 'False', reason: 'SecretNotFound', message: `${wrong.join('; ')}.` };
  const unknown = needs.filter(({ name }) => secretOf(name) === undefined).map(({ name }) => name);
  if (unknown.length > 0)
    return { type, status: 'Unknown', reason: 'SecretNotRead', message: `Not read yet: Secret ${unknown.join(', ')}.` };
  return { type, status: 'True', reason: 'ResolvedRefs', message: 'Everything that it names exists.' };
}
