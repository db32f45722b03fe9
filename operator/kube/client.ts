/** Kubernetes' REST interface, typed by the caller. Every failure is a KubeError. */
import type { IncomingMessage } from 'node:http';
import { KubeError } from './error.ts';
import { lines } from './lines.ts';
import { apiVersionOf, type KubeObject, type ObjectKey, pathOf, type ResourceRef } from './resource.ts';
import { ACCESS_REVIEWS, TOKEN_REVIEWS } from './resources.ts';
import { type Call, createTransport, kubeConfigOf, type Transport } from './transport.ts';

/** Owner of the fields that the operator applies. */
export const FIELD_MANAGER = 'chaperone';

export interface ListOptions {
  /** The whole cluster where absent. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly signal?: AbortSignal;
  /** Only the metadata of the objects: what is enough to compare. */
  readonly metadataOnly?: boolean;
}

export interface KubeList<T> {
  readonly items: readonly T[];
  /** Where a watch may go on from. */
  readonly resourceVersion: string;
}

export interface WatchOptions extends ListOptions {
  readonly resourceVersion: string;
  /** The server ends the watch by then. */
  readonly timeoutSeconds: number;
}

export type WatchEvent<T> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T }
  | { readonly type: 'BOOKMARK'; readonly object: KubeObject }
  | { readonly type: 'ERROR'; readonly object: unknown };

export interface ApplyOptions {
  /** Takes fields over that another manager owns; a Conflict where absent. */
  readonly force?: boolean;
  /** `chaperone` where absent. */
  readonly fieldManager?: string;
}

export interface TokenIdentity {
  readonly username: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra: { readonly [key: string]: readonly string[] };
  readonly audiences: readonly string[];
}

export interface AccessQuestion {
  readonly user: string;
  readonly groups?: readonly string[];
  readonly extra?: { readonly [key: string]: readonly string[] };
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource?: string;
  readonly namespace?: string;
  readonly name?: string;
}

export interface KubeClient {
  /** URL of the API server. */
  readonly server: string;
  get<T extends KubeObject>(ref: ResourceRef, key: ObjectKey): Promise<T>;
  /** All of them, page by page. */
  list<T extends KubeObject>(ref: ResourceRef, options?: ListOptions): Promise<KubeList<T>>;
  /** Resolves when the server has answered. The events end when the server does; they throw KubeError where the connection breaks or the signal is given. */
  watch<T extends KubeObject>(ref: ResourceRef, options: WatchOptions): Promise<AsyncIterable<WatchEvent<T>>>;
  create<T extends KubeObject>(ref: ResourceRef, object: T): Promise<T>;
  /** Replaces it; with metadata.resourceVersion only where nobody else did (Conflict). */
  update<T extends KubeObject>(ref: ResourceRef, object: T): Promise<T>;
  updateStatus<T extends KubeObject>(ref: ResourceRef, object: T): Promise<T>;
  /** `uid`, `resourceVersion`: only if it is still that one (Conflict). */
  delete(
    ref: ResourceRef,
    key: ObjectKey,
    only?: { readonly uid?: string; readonly resourceVersion?: string; readonly gracePeriodSeconds?: number },
  ): Promise<void>;
  /** Server-side apply. Needs no apiVersion and kind: they are the ref's. */
  apply<T extends KubeObject>(ref: ResourceRef, object: T, options?: ApplyOptions): Promise<T>;
  applyStatus<T extends KubeObject>(ref: ResourceRef, object: T, options?: ApplyOptions): Promise<T>;
  /** JSON merge patch (RFC 7386). */
  patch<T extends KubeObject>(ref: ResourceRef, key: ObjectKey, patch: object): Promise<T>;
  patchStatus<T extends KubeObject>(ref: ResourceRef, key: ObjectKey, patch: object): Promise<T>;
  /** Whose token it is; null where it is not good for one of the audiences. */
  tokenReview(token: string, audiences: readonly string[]): Promise<TokenIdentity | null>;
  /** Whether RBAC (or whatever authorises) says yes. */
  subjectAccessReview(question: AccessQuestion): Promise<boolean>;
  /** Any other path: `/version`, `/openapi/v3`. */
  raw(call: Call): Promise<unknown>;
  close(): void;
}

/** `kubeconfig` is a file; null means the pod's own service account. */
export function connect(kubeconfig: string | null): KubeClient {
  return clientOn(createTransport(kubeConfigOf(kubeconfig)));
}

const PAGE = 500;
const METADATA_ONLY = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';

export function clientOn(transport: Transport): KubeClient {
  const { server, send } = transport;
  const at = <T extends KubeObject>(ref: ResourceRef, { metadata: { namespace, name } }: T, subresource?: string) =>
    pathOf(ref, { ...(namespace === undefined ? {} : { namespace }), name, ...(subresource === undefined ? {} : { subresource }) });
  const typed = <T extends KubeObject>(ref: ResourceRef, object: T): T => ({ ...object, apiVersion: apiVersionOf(ref), kind: ref.kind });
  const applied = async <T extends KubeObject>(ref: ResourceRef, object: T, options: ApplyOptions, subresource?: string): Promise<T> => {
    const query = new URLSearchParams({ fieldManager: options.fieldManager ?? FIELD_MANAGER });
    if (options.force) query.set('force', 'true');
    const path = `${at(ref, object, subresource)}?${query.toString()}`;
    return (await send({ method: 'PATCH', path, body: typed(ref, object), contentType: 'application/apply-patch+yaml' })) as T;
  };
  const patched = async <T extends KubeObject>(ref: ResourceRef, key: ObjectKey, body: object, subresource?: string): Promise<T> => {
    const path = `${at(ref, { metadata: key }, subresource)}?fieldManager=${FIELD_MANAGER}`;
    return (await send({ method: 'PATCH', path, body, contentType: 'application/merge-patch+json' })) as T;
  };

  return {
    server,
    get: async <T extends KubeObject>(ref: ResourceRef, key: ObjectKey) => (await send({ method: 'GET', path: pathOf(ref, key) })) as T,
    list: async <T extends KubeObject>(ref: ResourceRef, options: ListOptions = {}) => {
      const items: T[] = [];
      for (let next = ''; ; ) {
        const query = queryOf(options, { limit: String(PAGE), ...(next === '' ? {} : { continue: next }) });
        const page = (await send({
          method: 'GET',
          path: `${pathOf(ref, inNamespace(options))}?${query.toString()}`,
          ...(options.signal === undefined ? {} : { signal: options.signal }),
          ...(options.metadataOnly === true ? { accept: METADATA_ONLY } : {}),
        })) as { metadata?: { resourceVersion?: string; continue?: string }; items?: T[] };
        items.push(...(page.items ?? []));
        next = page.metadata?.continue ?? '';
        if (next === '') return { items, resourceVersion: page.metadata?.resourceVersion ?? '' };
      }
    },
    watch: <T extends KubeObject>(ref: ResourceRef, options: WatchOptions) => watchOn<T>(transport, ref, options),
    create: async <T extends KubeObject>(ref: ResourceRef, object: T) => {
      const path = `${pathOf(ref, inNamespace(object.metadata))}?fieldManager=${FIELD_MANAGER}`;
      return (await send({ method: 'POST', path, body: typed(ref, object) })) as T;
    },
    update: async <T extends KubeObject>(ref: ResourceRef, object: T) =>
      (await send({ method: 'PUT', path: `${at(ref, object)}?fieldManager=${FIELD_MANAGER}`, body: typed(ref, object) })) as T,
    updateStatus: async <T extends KubeObject>(ref: ResourceRef, object: T) =>
      (await send({ method: 'PUT', path: `${at(ref, object, 'status')}?fieldManager=${FIELD_MANAGER}`, body: typed(ref, object) })) as T,
    delete: async (ref, key, { uid, resourceVersion, gracePeriodSeconds } = {}) => {
      const preconditions = { ...(uid === undefined ? {} : { uid }), ...(resourceVersion === undefined ? {} : { resourceVersion }) };
      const body = {
        apiVersion: 'v1',
        kind: 'DeleteOptions',
        propagationPolicy: 'Background',
        preconditions,
        ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
      };
      await send({ method: 'DELETE', path: pathOf(ref, key), body });
    },
    apply: (ref, object, options = {}) => applied(ref, object, options),
    applyStatus: (ref, object, options = {}) => applied(ref, object, options, 'status'),
    patch: (ref, key, patch) => patched(ref, key, patch),
    patchStatus: (ref, key, patch) => patched(ref, key, patch, 'status'),
    tokenReview: (token, audiences) => reviewToken(transport, token, audiences),
    subjectAccessReview: (question) => reviewAccess(transport, question),
    raw: send,
    close: () => transport.close(),
  };
}

async function watchOn<T extends KubeObject>(
  transport: Transport,
  ref: ResourceRef,
  options: WatchOptions,
): Promise<AsyncIterable<WatchEvent<T>>> {
  const query = queryOf(options, {
    watch: 'true',
    allowWatchBookmarks: 'true',
    resourceVersion: options.resourceVersion,
    timeoutSeconds: String(options.timeoutSeconds),
  });
  const path = `${pathOf(ref, inNamespace(options))}?${query.toString()}`;
  const answer = await transport.open({ method: 'GET', path, ...(options.signal === undefined ? {} : { signal: options.signal }) });
  return eventsOf<T>(answer, ref, options.signal);
}

async function* eventsOf<T extends KubeObject>(
  answer: IncomingMessage,
  ref: ResourceRef,
  signal: AbortSignal | undefined,
): AsyncGenerator<WatchEvent<T>> {
  try {
    for await (const line of lines(answer)) yield JSON.parse(line) as WatchEvent<T>;
  } catch (error: unknown) {
    if (signal?.aborted) throw new KubeError('Aborted', `watch of ${ref.plural}: given up`);
    throw error instanceof KubeError ? error : new KubeError('Unavailable', `watch of ${ref.plural}: the stream broke`);
  } finally {
    answer.destroy();
  }
}

async function reviewToken({ send }: Transport, token: string, audiences: readonly string[]): Promise<TokenIdentity | null> {
  const review = (await send({
    method: 'POST',
    path: pathOf(TOKEN_REVIEWS, {}),
    body: { apiVersion: apiVersionOf(TOKEN_REVIEWS), kind: TOKEN_REVIEWS.kind, spec: { token, audiences } },
  })) as {
    status?: {
      authenticated?: boolean;
      audiences?: string[];
      user?: { username?: string; uid?: string; groups?: string[]; extra?: Record<string, string[]> };
    };
  };
  const { authenticated, audiences: matched = [], user = {} } = review.status ?? {};
  // An authenticator that knows nothing of audiences answers without any: not good enough.
  if (authenticated !== true || !matched.some((audience) => audiences.includes(audience))) return null;
  return { username: user.username ?? '', uid: user.uid ?? '', groups: user.groups ?? [], extra: user.extra ?? {}, audiences: matched };
}

async function reviewAccess({ send }: Transport, question: AccessQuestion): Promise<boolean> {
  const { user, groups, extra, ...resourceAttributes } = question;
  const review = (await send({
    method: 'POST',
    path: pathOf(ACCESS_REVIEWS, {}),
    body: { apiVersion: apiVersionOf(ACCESS_REVIEWS), kind: ACCESS_REVIEWS.kind, spec: { user, groups, extra, resourceAttributes } },
  })) as { status?: { allowed?: boolean; denied?: boolean } };
  return review.status?.allowed === true && review.status.denied !== true;
}

function queryOf({ labelSelector, fieldSelector }: ListOptions, more: Record<string, string>): URLSearchParams {
  return new URLSearchParams({
    ...(labelSelector === undefined ? {} : { labelSelector }),
    ...(fieldSelector === undefined ? {} : { fieldSelector }),
    ...more,
  });
}

function inNamespace({ namespace }: { readonly namespace?: string }): { readonly namespace?: string } {
  return namespace === undefined ? {} : { namespace };
}
