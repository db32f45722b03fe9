/** The webhooks' serving certificate: from the operator's own CA (operator/pki), or from files that somebody else renews, such as cert-manager. */
import { type FSWatcher, readFileSync, watch } from 'node:fs';
import { join } from 'node:path';
import { createSecureContext } from 'node:tls';

/** What operator/pki's ServingCertificate is too. */
export interface ServingCertificates {
  /** PEM: key, certificate chain, and the CAs that the API server is to verify it with. */
  readonly current: { readonly key: string; readonly chain: string; readonly bundle: string };
  /** Called after it changed. Returns the way to stop. */
  onChange(listener: () => void): () => void;
  close(): void;
}

/** The kubelet writes a Secret anew by swapping a symbolic link, and a watch may see half of that. */
const SETTLE_MS = 100;
const REREAD_MS = 30_000;

/**
 * From a folder with `tls.crt`, `tls.key` and `ca.crt`, as a Secret is mounted. Read again when the folder changes; what does not fit together
 * is told and left aside until it does. Throws where there is no good pair at the start.
 */
export function mountedCertificates(dir: string, onError: (error: unknown) => void): ServingCertificates {
  const listeners = new Set<() => void>();
  let current = readFolder(dir);
  let timer: NodeJS.Timeout | undefined;
  const reread = () => {
    try {
      const next = readFolder(dir);
      if (next.chain === current.chain && next.key === current.key && next.bundle === current.bundle) return;
      current = next;
      for (const listener of [...listeners]) listener();
    } catch (error: unknown) {
      onError(error);
    }
  };
  const watcher: FSWatcher = watch(dir, { persistent: false }, () => {
    clearTimeout(timer);
    timer = setTimeout(reread, SETTLE_MS);
  });
  watcher.on('error', onError);
  const interval = setInterval(reread, REREAD_MS).unref();
  return {
    get current() {
      return current;
    },
    onChange: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    close: () => {
      watcher.close();
      clearTimeout(timer);
      clearInterval(interval);
      listeners.clear();
    },
  };
}

function readFolder(dir: string): ServingCertificates['current'] {
  const read = (name: string) => readFileSync(join(dir, name), 'utf8');
  const current = { chain: read('tls.crt'), key: read('tls.key'), bundle: read('ca.crt') };
  // Throws where the key is not the certificate's.
  createSecureContext({ cert: current.chain, key: current.key, ca: current.bundle });
  return current;
}
