/** What this replica knows of the sidecars that are connected to it: which snapshot each enforces, and which it refused. */
import type { SidecarPeer } from './peer.ts';

export interface ConnectedSidecar {
  readonly peer: SidecarPeer;
  readonly sidecarVersion: string;
  readonly connectedAtMs: number;
  /** Null before it took one. */
  readonly acked: string | null;
  readonly refused: { readonly version: string; readonly problems: readonly string[] } | null;
  readonly restartRequiredFor: readonly string[];
}

export interface AckBoard {
  all(): readonly ConnectedSidecar[];
  get(podUid: string): ConnectedSidecar | undefined;
  /** Called after each change. Returns the way to stop. */
  onChange(listener: () => void): () => void;
}

export interface AckBoardWriter extends AckBoard {
  /** A stream was opened; what was known of the pod is forgotten. `acked` is what the sidecar says that it enforces. */
  opened(peer: SidecarPeer, sidecarVersion: string, connectedAtMs: number, acked: string | null): void;
  acked(podUid: string, version: string): void;
  refused(podUid: string, version: string, problems: readonly string[]): void;
  reported(podUid: string, restartRequiredFor: readonly string[]): void;
  closed(podUid: string): void;
}

const MAX_PROBLEMS = 5;
const MAX_PROBLEM_CHARS = 512;
const MAX_RESTARTS = 20;
/** `NAMESPACE/NAME` as the slice's schema takes it: one that it refused would keep the whole slice, and all sidecars in it, from being written. */
const RESOURCE = /^[a-z0-9][-a-z0-9]{0,62}\/[a-z0-9][-.a-z0-9]{0,252}$/;

export function createAckBoard(): AckBoardWriter {
  const sidecars = new Map<string, ConnectedSidecar>();
  const listeners = new Set<() => void>();
  const change = (podUid: string, changes: Partial<ConnectedSidecar>) => {
    const known = sidecars.get(podUid);
    if (known === undefined) return;
    sidecars.set(podUid, { ...known, ...changes });
    tell();
  };
  const tell = () => {
    for (const listener of [...listeners]) listener();
  };
  return {
    all: () => [...sidecars.values()],
    get: (podUid) => sidecars.get(podUid),
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    opened(peer, sidecarVersion, connectedAtMs, acked) {
      sidecars.set(peer.podUid, { peer, sidecarVersion, connectedAtMs, acked, refused: null, restartRequiredFor: [] });
      tell();
    },
    acked(podUid, version) {
      const known = sidecars.get(podUid);
      if (known?.acked !== version || known.refused !== null) change(podUid, { acked: version, refused: null });
    },
    refused(podUid, version, problems) {
      const short = problems.slice(0, MAX_PROBLEMS).map((problem) => problem.slice(0, MAX_PROBLEM_CHARS));
      change(podUid, { refused: { version, problems: short.length > 0 ? short : ['no reason given'] } });
    },
    reported(podUid, names) {
      const restartRequiredFor = [...new Set(names.filter((name) => RESOURCE.test(name)))].sort().slice(0, MAX_RESTARTS);
      if (restartRequiredFor.join() !== sidecars.get(podUid)?.restartRequiredFor.join()) change(podUid, { restartRequiredFor });
    },
    closed(podUid) {
      if (sidecars.delete(podUid)) tell();
    },
  };
}
