/** The CA in its Secret. Replicas agree by the API server: one creates, the others read; who rotates does it by compare-and-swap. */
import type { AuthorityState } from './authority.ts';
import { Authority, newAuthorityState, rotated, rotationIsDue } from './authority.ts';

/** What is needed of the API server. */
export interface SecretStore {
  /** Null where there is none. Values are the decoded bytes as text. */
  read(): Promise<StoredSecret | null>;
  /** False where there is one by now. */
  create(data: Readonly<Record<string, string>>): Promise<boolean>;
  /** False where it has changed since it was read. */
  replace(data: Readonly<Record<string, string>>, resourceVersion: string): Promise<boolean>;
}

export interface StoredSecret {
  readonly data: Readonly<Record<string, string>>;
  readonly resourceVersion: string;
}

/** The Secret is there and does not hold a CA. It is never overwritten: every sidecar trusts what it held. */
export class AuthorityError extends Error {
  override readonly name = 'AuthorityError';
}

/** Rejects with AuthorityError, or with what the store says. */
export async function loadOrCreateAuthority(store: SecretStore, nowMs: number): Promise<Authority> {
  const found = await store.read();
  if (found !== null) return new Authority(stateOf(found.data));
  const made = await newAuthorityState(nowMs);
  if (await store.create(dataOf(made))) return new Authority(made);
  const theirs = await store.read();
  if (theirs === null) throw new AuthorityError('the Secret of the CA was removed while it was made');
  return new Authority(stateOf(theirs.data));
}

/** Takes over what another replica rotated; with `rotate` (the leader) also follows up a CA that has had two thirds of its life. */
export async function refreshAuthority(authority: Authority, store: SecretStore, nowMs: number, rotate: boolean): Promise<void> {
  const found = await store.read();
  if (found === null) throw new AuthorityError('the Secret of the CA is gone');
  const state = stateOf(found.data);
  if (!rotate || !rotationIsDue(state, nowMs)) return authority.replace(state);
  const next = await rotated(state, nowMs);
  // Lost the race: the next refresh reads what the other replica made.
  if (await store.replace(dataOf(next), found.resourceVersion)) authority.replace(next);
}

/** `ca.crt` is for people and for others who need the bundle. */
function dataOf(state: AuthorityState): Record<string, string> {
  const previous = state.previous === null ? {} : { 'previous.crt': state.previous.certificate, 'cross.crt': state.previous.cross };
  const bundle = state.current.certificate + (state.previous?.certificate ?? '');
  return { 'ca.crt': bundle, 'current.crt': state.current.certificate, 'current.key': state.current.key, ...previous };
}

function stateOf(data: Readonly<Record<string, string>>): AuthorityState {
  const { 'current.crt': certificate, 'current.key': key, 'previous.crt': previous, 'cross.crt': cross } = data;
  if (certificate === undefined || key === undefined) throw new AuthorityError('the Secret of the CA holds no current.crt and current.key');
  return {
    current: { certificate, key },
    previous: previous === undefined || cross === undefined ? null : { certificate: previous, cross },
  };
}
