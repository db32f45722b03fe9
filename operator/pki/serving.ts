/** The certificate of the operator's servers, made anew at two thirds of its life and when the CA changes. Servers take it without a restart. */
import { type Authority, type Issued, LIFE_MS } from './authority.ts';

export interface ServingCertificate {
  /** PEM: key, certificate chain, and the CAs that clients are verified with. */
  readonly current: { readonly key: string; readonly chain: string; readonly bundle: string };
  /** Called after it changed; a `tls.Server` takes it with `setSecureContext`. Returns the way to stop. */
  onChange(listener: () => void): () => void;
  close(): void;
}

export interface ServingOptions {
  readonly authority: Authority;
  /** DNS names and IP addresses. */
  readonly names: readonly string[];
  readonly now: () => number;
  readonly lifeMs?: number;
  readonly onError: (error: unknown) => void;
}

const RETRY_MS = 10_000;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export async function createServingCertificate(options: ServingOptions): Promise<ServingCertificate> {
  const { authority, names, now, lifeMs = LIFE_MS.serving } = options;
  const listeners = new Set<() => void>();
  const make = () => authority.serving(names, now(), lifeMs);
  let issued: Issued = await make();
  let bundle = authority.bundle;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  const renew = async () => {
    try {
      const next = await make();
      if (closed) return;
      issued = next;
      bundle = authority.bundle;
      plan((lifeMs * 2) / 3);
      for (const listener of [...listeners]) listener();
    } catch (error: unknown) {
      options.onError(error);
      plan(RETRY_MS);
    }
  };
  const plan = (afterMs: number) => {
    clearTimeout(timer);
    if (!closed) timer = setTimeout(() => void renew(), Math.min(afterMs, LONGEST_TIMER_MS)).unref();
  };
  plan((lifeMs * 2) / 3);
  const forget = authority.onChange(() => void renew());
  return {
    get current() {
      return { key: issued.key, chain: issued.chain, bundle };
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close() {
      closed = true;
      clearTimeout(timer);
      forget();
      listeners.clear();
    },
  };
}
