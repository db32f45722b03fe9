import type { experimental } from '@grpc/grpc-js';
import type { ServingCertificate } from '../pki/serving.ts';

type Provider = Parameters<typeof experimental.createCertificateProviderServerCredentials>[0];

/** A serving certificate as grpc-js takes it: renewed under a server that runs. */
export function certificateProvider(serving: ServingCertificate): Provider {
  const cas = new Map<unknown, () => void>();
  const identities = new Map<unknown, () => void>();
  const add = <L>(known: Map<unknown, () => void>, listener: L, tell: () => void) => {
    known.set(listener, serving.onChange(tell));
    // grpc-js listens before it lets its server hear.
    queueMicrotask(() => known.has(listener) && tell());
  };
  const remove = (known: Map<unknown, () => void>, listener: unknown) => {
    known.get(listener)?.();
    known.delete(listener);
  };
  return {
    addCaCertificateListener: (listener) => add(cas, listener, () => listener({ caCertificate: Buffer.from(serving.current.bundle) })),
    removeCaCertificateListener: (listener) => remove(cas, listener),
    addIdentityCertificateListener: (listener) =>
      add(identities, listener, () =>
        listener({ certificate: Buffer.from(serving.current.chain), privateKey: Buffer.from(serving.current.key) }),
      ),
    removeIdentityCertificateListener: (listener) => remove(identities, listener),
  };
}
