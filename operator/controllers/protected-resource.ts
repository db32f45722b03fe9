import type { ProtectedResourceSpec } from '#crds/v1alpha1/protected-resource.ts';
import type { SecretObject } from '../kube/secrets.ts';
import type { Finding } from './conditions.ts';
import { compiledFindings, type Judged, programmedOf } from './judge.ts';
import type { Programmed } from './programming.ts';

export interface SecretNeed {
  readonly name: string;
  readonly keys: readonly string[];
}

/** The Secrets of its own namespace that a target names, each once, with the keys that must be there. */
export function secretNeeds({ tls, postgresql, http }: ProtectedResourceSpec): readonly SecretNeed[] {
  const needs = new Map<string, Set<string>>();
  const need = (name: string, ...keys: readonly string[]) => needs.set(name, new Set([...(needs.get(name) ?? []), ...keys]));
  if (tls.caSecretRef !== undefined) need(tls.caSecretRef.name, tls.caSecretRef.key);
  for (const { secretRef } of postgresql?.users ?? []) need(secretRef.name, secretRef.usernameKey, secretRef.passwordKey);
  if (http?.credential !== undefined) need(http.credential.secretRef.name, http.credential.secretRef.key);
  return [...needs].map(([name, keys]) => ({ name, keys: [...keys] }));
}

/** A ProtectedResource: valid, its Secrets have what it asks of them, and the sidecars have it. `secretOf`: undefined where it is not known yet. */
export function protectedResourceFindings(
  judged: Judged,
  programmed: Programmed,
  secretOf: (name: string) => SecretObject | null | undefined,
): readonly Finding[] {
  const compiled = compiledFindings(judged);
  const findings =
    judged.valid && judged.object.kind === 'ProtectedResource' ? [...compiled, secretsFinding(judged.object.spec, secretOf)] : compiled;
  return [...findings, programmedOf(findings, programmed)];
}

function secretsFinding(spec: ProtectedResourceSpec, secretOf: (name: string) => SecretObject | null | undefined): Finding {
  const type = 'ResolvedRefs';
  const needs = secretNeeds(spec);
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
