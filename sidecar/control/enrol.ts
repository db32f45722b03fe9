/** Enrolment: the pod's projected token and a key of our own for a certificate. */

import { createPrivateKey as createKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { parseSpiffeId } from '#crds/control/spiffe.ts';
import { Enrolment, type EnrolResponse } from '#crds/gen/chaperone/v1/enrolment_pb.js';
import { enrolmentClient, type OperatorAddress } from './channel.ts';
import { ControlError } from './errors.ts';
import type { ChannelKey } from './keys.ts';
import { callUnary } from './rpc.ts';

export interface EnrolOptions {
  readonly operator: OperatorAddress;
  /** Files: the kubelet writes the token anew long before it ends, so it is read each time. */
  readonly tokenFile: string;
  readonly caFile: string;
  readonly key: ChannelKey;
  /** SPKI, DER, of the Ed25519 key that signs recordings. */
  readonly recordingPublicKey: Uint8Array;
  readonly sidecarVersion: string;
  readonly capabilities: readonly string[];
  /** Of the last enrolment, PEM: a CA that followed the one in the file. */
  readonly knownBundle: string;
  readonly timeoutMs?: number;
}

/** What the operator certified. */
export interface Identity {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly pod: string;
  readonly podUid: string;
  readonly cluster: string;
  /** PEM, leaf first. */
  readonly certificateChain: string;
  /** One PEM each, leaf first. */
  readonly recordingCertificates: readonly string[];
  readonly caBundle: string;
  readonly renewAtMs: number;
  readonly expiresAtMs: number;
}

const TIMEOUT_MS = 10_000;

/** Rejects with ControlError. */
export async function enrol(options: EnrolOptions): Promise<Identity> {
  const { operator, key, timeoutMs = TIMEOUT_MS } = options;
  const token = read(options.tokenFile, 'the token').trim();
  const client = enrolmentClient(operator, read(options.caFile, 'the CA bundle') + options.knownBundle);
  try {
    const request = {
      token,
      certificateRequest: key.request,
      recordingPublicKey: options.recordingPublicKey,
      sidecarVersion: options.sidecarVersion,
      capabilities: [...options.capabilities],
    };
    return identityOf(await callUnary(client, Enrolment.method.enrol, request, timeoutMs), key);
  } finally {
    client.close();
  }
}

/** Checked against the certificate itself: it is what the operator will believe. Throws ControlError. */
export function identityOf(response: EnrolResponse, { key }: Pick<ChannelKey, 'key'>): Identity {
  const { namespace, serviceAccount, pod, podUid, cluster, certificateChain, recordingCertificateChain, caBundle } = response;
  const leaf = certificate(certificateChain);
  const recordingCertificates = recordingCertificateChain.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  for (const pem of [...recordingCertificates, caBundle]) certificate(pem);
  if (recordingCertificates.length === 0) throw new ControlError('Malformed', 'there is no certificate for the recording key');
  const named = parseSpiffeId((leaf.subjectAltName ?? '').replace(/^URI:/, ''));
  if (named === null || named.namespace !== namespace || named.serviceAccount !== serviceAccount || named.podUid !== podUid)
    throw new ControlError('Malformed', 'the certificate is not the one that the operator speaks of');
  if (!leaf.checkPrivateKey(createKey(key))) throw new ControlError('Malformed', 'the certificate is not for our key');
  const expiresAtMs = leaf.validToDate.getTime();
  const renewAtMs = Math.min(Number(response.renewAtSeconds) * 1000, expiresAtMs);
  if (!/^[a-z0-9]([-a-z0-9.]{0,62})$/.test(cluster)) throw new ControlError('Malformed', 'the name of the cluster is not one');
  return { namespace, serviceAccount, pod, podUid, cluster, certificateChain, recordingCertificates, caBundle, renewAtMs, expiresAtMs };
}

function certificate(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    throw new ControlError('Malformed', 'the operator sent something that is no certificate');
  }
}

function read(file: string, what: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new ControlError('Unavailable', `${what} in ${file} can't be read: ${(error as NodeJS.ErrnoException).code ?? 'unknown reason'}`);
  }
}
