/** AdmissionReview of admission.k8s.io/v1: parsed into a closed type on the way in, made from an answer on the way out. */

export interface JsonObject {
  readonly [member: string]: unknown;
}

export interface UserInfo {
  readonly username: string;
  readonly groups: readonly string[];
  readonly extra: { readonly [key: string]: readonly string[] };
}

export interface AdmissionRequest {
  readonly uid: string;
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';
  readonly resource: { readonly group: string; readonly version: string; readonly resource: string };
  /** Empty where it is the resource itself. */
  readonly subResource: string;
  /** Empty for the whole cluster. */
  readonly namespace: string;
  /** Empty where the server makes it. */
  readonly name: string;
  readonly user: UserInfo;
  readonly object: JsonObject | null;
  readonly oldObject: JsonObject | null;
  readonly dryRun: boolean;
}

/** An operation of JSON Patch (RFC 6902). */
export type PatchOperation =
  | { readonly op: 'add' | 'replace'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string };

export type AdmissionAnswer =
  | { readonly allowed: true; readonly patch?: readonly PatchOperation[]; readonly warnings?: readonly string[] }
  | {
      readonly allowed: false;
      readonly status: 403 | 409 | 422 | 500 | 503;
      readonly message: string;
      readonly warnings?: readonly string[];
    };

/** What one route does. A rejection is a refusal. */
export type Handler = (request: AdmissionRequest) => AdmissionAnswer | Promise<AdmissionAnswer>;

export const ALLOWED: AdmissionAnswer = { allowed: true };

export function refusal(status: 403 | 409 | 422 | 500 | 503, message: string): AdmissionAnswer {
  return { allowed: false, status, message };
}

const OPERATIONS = ['CREATE', 'UPDATE', 'DELETE', 'CONNECT'] as const;

/** Null for anything that is not such a review, or lacks what a judgement needs. */
export function parseReview(body: unknown): AdmissionRequest | null {
  if (!isObject(body) || body['apiVersion'] !== 'admission.k8s.io/v1' || body['kind'] !== 'AdmissionReview') return null;
  const request = body['request'];
  if (!isObject(request)) return null;
  const { uid, operation, resource, userInfo } = request;
  const known = OPERATIONS.find((name) => name === operation);
  if (typeof uid !== 'string' || uid === '' || known === undefined || !isObject(resource) || !isObject(userInfo)) return null;
  const { group, version, resource: plural } = resource;
  const username = userInfo['username'];
  if (typeof plural !== 'string' || typeof version !== 'string' || typeof username !== 'string') return null;
  const [object, oldObject] = [objectOrNull(request['object']), objectOrNull(request['oldObject'])];
  if (object === undefined || oldObject === undefined) return null;
  return {
    uid,
    operation: known,
    resource: { group: typeof group === 'string' ? group : '', version, resource: plural },
    subResource: textOf(request['subResource']),
    namespace: textOf(request['namespace']),
    name: textOf(request['name']),
    user: { username, groups: textsOf(userInfo['groups']), extra: extraOf(userInfo['extra']) },
    object,
    oldObject,
    dryRun: request['dryRun'] === true,
  };
}

const REASONS = { 403: 'Forbidden', 409: 'Conflict', 422: 'Invalid', 500: 'InternalError', 503: 'ServiceUnavailable' } as const;

export function reviewOf(uid: string, answer: AdmissionAnswer): JsonObject {
  const warnings = answer.warnings === undefined || answer.warnings.length === 0 ? {} : { warnings: answer.warnings };
  const response = answer.allowed
    ? { uid, allowed: true, ...patchOf(answer.patch), ...warnings }
    : { uid, allowed: false, status: { code: answer.status, reason: REASONS[answer.status], message: answer.message }, ...warnings };
  return { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response };
}

function patchOf(patch: readonly PatchOperation[] | undefined): JsonObject {
  if (patch === undefined || patch.length === 0) return {};
  return { patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(patch)).toString('base64') };
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A member that is an object; empty where it is anything else. */
export function memberOf(object: JsonObject | null, name: string): JsonObject {
  const member = object !== null && Object.hasOwn(object, name) ? object[name] : undefined;
  return isObject(member) ? member : {};
}

export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

function extraOf(value: unknown): { [key: string]: string[] } {
  return isObject(value) ? Object.fromEntries(Object.entries(value).map(([key, texts]) => [key, textsOf(texts)])) : {};
}

function objectOrNull(value: unknown): JsonObject | null | undefined {
  if (value === undefined || value === null) return null;
  return isObject(value) ? value : undefined;
}
