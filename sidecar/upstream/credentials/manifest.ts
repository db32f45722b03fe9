import { CredentialError, type SecretData } from './store.ts';

/** As large as Kubernetes lets a Secret be. */
const MAX_SECRET_BYTES = 1024 * 1024;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** True for an object that says it is a Secret of Kubernetes. */
export function isSecret(object: unknown): object is { readonly kind: 'Secret' } {
  return isObject(object) && object['apiVersion'] === 'v1' && object['kind'] === 'Secret';
}

/** A v1 Secret: `data` in base64, `stringData` as it is, which wins as it does in Kubernetes. Throws CredentialError, which never quotes a value. */
export function secretOf(object: unknown): { readonly key: string; readonly data: SecretData } {
  const manifest = isObject(object) ? object : {};
  const metadata = isObject(manifest['metadata']) ? manifest['metadata'] : {};
  const { name, namespace = 'default' } = metadata;
  if (typeof name !== 'string' || typeof namespace !== 'string' || name === '') {
    throw new CredentialError('Invalid', 'metadata.name: a Secret needs a name');
  }
  const data = new Map<string, Buffer>();
  for (const [key, value] of members(manifest['data'], 'data')) data.set(key, decoded(key, value));
  for (const [key, value] of members(manifest['stringData'], 'stringData')) data.set(key, Buffer.from(value));
  const size = [...data.values()].reduce((sum, value) => sum + value.length, 0);
  if (size > MAX_SECRET_BYTES) throw new CredentialError('TooLarge', `the Secret ${namespace}/${name} is larger than 1 MiB`);
  return { key: `${namespace}/${name}`, data };
}

function members(value: unknown, at: string): [string, string][] {
  if (value === undefined || value === null) return [];
  if (!isObject(value)) throw new CredentialError('Invalid', `${at}: must be an object`);
  return Object.entries(value).map(([key, text]) => {
    if (typeof text !== 'string') throw new CredentialError('Invalid', `${at}.${key}: must be a text (quote numbers and booleans)`);
    return [key, text];
  });
}

/** Buffer.from would take what is no base64 for something shorter. */
function decoded(key: string, text: string): Buffer {
  const compact = text.replace(/\s+/g, '');
  if (!BASE64.test(compact)) throw new CredentialError('Invalid', `data.${key}: is not base64 (plain text belongs under stringData)`);
  return Buffer.from(compact, 'base64');
}

const isObject = (value: unknown): value is { readonly [member: string]: unknown } =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
