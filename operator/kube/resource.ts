/** What the client knows of a Kubernetes resource: where it lies, and the metadata that all objects have. */

export interface ResourceRef {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

export interface ObjectKey {
  /** Absent for an object of the whole cluster. */
  readonly namespace?: string;
  readonly name: string;
}

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

/** metav1.ObjectMeta as far as it is used here. */
export interface KubeMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly generateName?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly labels?: { readonly [key: string]: string };
  readonly annotations?: { readonly [key: string]: string };
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly finalizers?: readonly string[];
  readonly ownerReferences?: readonly OwnerReference[];
}

export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: KubeMeta;
}

export function apiVersionOf({ group, version }: ResourceRef): string {
  return group === '' ? version : `${group}/${version}`;
}

/** `/apis/GROUP/VERSION[/namespaces/NAMESPACE]/PLURAL[/NAME][/SUBRESOURCE]`; without a namespace, the whole cluster. */
export function pathOf(
  ref: ResourceRef,
  at: { readonly namespace?: string; readonly name?: string; readonly subresource?: string },
): string {
  const root = ref.group === '' ? `/api/${ref.version}` : `/apis/${ref.group}/${ref.version}`;
  const parts: string[] = ref.namespaced && at.namespace !== undefined ? ['namespaces', segment(at.namespace)] : [];
  parts.push(ref.plural);
  if (at.name !== undefined) parts.push(segment(at.name));
  if (at.subresource !== undefined) parts.push(segment(at.subresource));
  return `${root}/${parts.join('/')}`;
}

/** One segment of a path. A name such as `..` would be another place. */
function segment(name: string): string {
  if (name === '' || name === '.' || name === '..') throw new TypeError(`not a name of an object: '${name}'`);
  return encodeURIComponent(name);
}
