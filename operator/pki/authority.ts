/** The operator's own CA: what it signs, and how one CA follows another without a moment in which somebody is not trusted. */
import { createHash } from 'node:crypto';
import { recordingAuthorityId, type SidecarIdentity, spiffeId } from '#crds/control/spiffe.ts';
import { crossSign, type KeyPair, newCa, newKey, newLeaf, notAfterOf, validFor } from './x509.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
export const LIFE_MS = {
  ca: 365 * DAY_MS,
  serving: 7 * DAY_MS,
  workload: HOUR_MS,
  /** Longer than the workload's: a sidecar that has lost its operator still closes what it recorded under a valid certificate. */
  recording: DAY_MS,
} as const;

/** What is kept in the Secret. */
export interface AuthorityState {
  readonly current: KeyPair;
  /** The CA before: its certificate, and the current one issued by it. Its key is gone. */
  readonly previous: { readonly certificate: string; readonly cross: string } | null;
}

export interface Issued extends KeyPair {
  /** PEM, leaf first, with what leads to the CA before. */
  readonly chain: string;
}

export async function newAuthorityState(nowMs: number): Promise<AuthorityState> {
  return { current: await newCa(caName(nowMs), validFor(nowMs, LIFE_MS.ca)), previous: null };
}

/** At two thirds of the CA's life. What the old one signed stays good until its own end. */
export function rotationIsDue({ current }: AuthorityState, nowMs: number): boolean {
  return nowMs >= notAfterOf(current.certificate) - LIFE_MS.ca / 3;
}

export async function rotated({ current }: AuthorityState, nowMs: number): Promise<AuthorityState> {
  const next = await newCa(caName(nowMs), validFor(nowMs, LIFE_MS.ca));
  const validity = { notBefore: validFor(nowMs, 0).notBefore, notAfter: new Date(notAfterOf(current.certificate)) };
  return { current: next, previous: { certificate: current.certificate, cross: await crossSign(next.certificate, current, validity) } };
}

/** Signs with the current CA. Swaps to another state under those who hold it. */
export class Authority {
  #state: AuthorityState;
  readonly #listeners = new Set<() => void>();

  constructor(state: AuthorityState) {
    this.#state = state;
  }

  get state(): AuthorityState {
    return this.#state;
  }

  /** PEM of all CAs that are trusted. */
  get bundle(): string {
    return this.#state.current.certificate + (this.#state.previous?.certificate ?? '');
  }

  /** SHA-256 of the current CA's certificate, for logs. */
  get fingerprint(): string {
    return createHash('sha256').update(this.#state.current.certificate).digest('hex').slice(0, 16);
  }

  replace(state: AuthorityState): void {
    if (state.current.certificate === this.#state.current.certificate) return;
    this.#state = state;
    for (const listener of [...this.#listeners]) listener();
  }

  /** Called after the CA was replaced. Returns the way to stop. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** For a server of the operator. The first name is the subject. */
  async serving(names: readonly string[], nowMs: number, lifeMs: number = LIFE_MS.serving): Promise<Issued> {
    const { publicKey, key } = await newKey('P-256');
    const validity = validFor(nowMs, lifeMs);
    const subject = 'chaperone operator';
    const certificate = await newLeaf(this.#state.current, { subject, publicKey, validity, names, usages: ['serverAuth'] });
    return { certificate, key, chain: this.#chain(certificate) };
  }

  /** For the channel of an enrolled sidecar. `publicKey`: P-256, SPKI, DER. PEM, leaf first. */
  async workload(identity: SidecarIdentity, publicKey: Uint8Array, nowMs: number, lifeMs: number = LIFE_MS.workload): Promise<string> {
    return this.#identity(identity, publicKey, ['clientAuth'], validFor(nowMs, lifeMs));
  }

  /** For the key that signs a sidecar's recordings. `publicKey`: Ed25519, SPKI, DER. PEM, leaf first. */
  async recording(identity: SidecarIdentity, publicKey: Uint8Array, nowMs: number): Promise<string> {
    return this.#identity(identity, publicKey, [], validFor(nowMs, LIFE_MS.recording));
  }

  /** Ed25519: for a replica of the operator, which countersigns the heads of ledgers with it. */
  async countersigner(trustDomain: string, nowMs: number): Promise<Issued> {
    const { publicKey, key } = await newKey('Ed25519');
    const subject = 'chaperone recording authority';
    const names = [recordingAuthorityId(trustDomain)];
    const validity = validFor(nowMs, LIFE_MS.serving);
    const certificate = await newLeaf(this.#state.current, { subject, publicKey, validity, names, usages: [] });
    return { certificate, key, chain: this.#chain(certificate) };
  }

  async #identity(
    identity: SidecarIdentity,
    publicKey: Uint8Array,
    usages: readonly 'clientAuth'[],
    validity: ReturnType<typeof validFor>,
  ): Promise<string> {
    const subject = 'chaperone sidecar';
    const names = [spiffeId(identity)];
    return this.#chain(await newLeaf(this.#state.current, { subject, publicKey, validity, names, usages }));
  }

  #chain(certificate: string): string {
    return certificate + (this.#state.previous?.cross ?? '');
  }
}

/** Each CA has a name of its own, so that one that was replaced is not taken for it. */
function caName(nowMs: number): string {
  return `Chaperone CA ${new Date(nowMs).toISOString()}`;
}
