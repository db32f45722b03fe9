/** The identity in an enrolled sidecar's certificate. */
export interface SidecarIdentity {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly podUid: string;
}

const FORM = /^spiffe:\/\/([a-z0-9.-]{1,253})\/ns\/([a-z0-9-]{1,63})\/sa\/([a-z0-9.-]{1,253})\/pod\/([0-9a-f-]{36})$/;

/** `spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICEACCOUNT/pod/UID` */
export function spiffeId({ trustDomain, namespace, serviceAccount, podUid }: SidecarIdentity): string {
  return `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}/pod/${podUid}`;
}

/** Null for anything that `spiffeId` would not have made. */
export function parseSpiffeId(text: string): SidecarIdentity | null {
  const [, trustDomain, namespace, serviceAccount, podUid] = FORM.exec(text) ?? [];
  if (trustDomain === undefined || namespace === undefined || serviceAccount === undefined || podUid === undefined) return null;
  return { trustDomain, namespace, serviceAccount, podUid };
}

const AUTHORITY = /^spiffe:\/\/([a-z0-9.-]{1,253})\/recording-authority$/;

/** In the certificate of the key by which the operator countersigns recorders' heads. No sidecar is ever given it. */
export function recordingAuthorityId(trustDomain: string): string {
  return `spiffe://${trustDomain}/recording-authority`;
}

export function isRecordingAuthorityId(text: string): boolean {
  return AUTHORITY.test(text);
}
