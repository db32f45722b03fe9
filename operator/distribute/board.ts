/** What this replica knows of the sidecars that are connected to it: which snapshot each enforces, and which it refused. */
import { ASSURANCES, type Assurance } from '#crds/policy/assurance.ts';
import { MAX_ASSURANCES_PER_SIDECAR } from '#crds/v1alpha1/sidecar-slice.ts';
import { MAX_LOWERED_BY } from '#crds/v1alpha1/status.ts';
import type { SidecarPeer } from './peer.ts';

export interface ConnectedSidecar {
  readonly peer: SidecarPeer;
  readonly sidecarVersion: string;
  readonly connectedAtMs: number;
  /** Null before it took one. */
  readonly acked: string | null;
  readonly refused: { readonly version: string; readonly problems: readonly string[] } | null;
  readonly restartRequiredFor: readonly string[];
  readonly assurances: readonly ReportedAssurance[];
}

export interface ReportedAssurance {
  /** `namespace/name`. */
  readonly resource: string;
  readonly level: Assurance;
  readonly loweredBy: readonly string[];
}

/** As it came. */
export interface SaidAssurance {
  readonly resource: string;
  readonly level: string;
  readonly loweredBy: readonly string[];
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
  /** What sessions of a sidecar had; what is said of a resource that `knows` does not know is left out. */
  assured(podUid: string, said: readonly SaidAssurance[], knows: (resource: string) => boolean): void;
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
      sidecars.set(peer.podUid, { peer, sidecarVersion, connectedAtMs, acked, refused: null, restartRequiredFor: [], assurances: [] });
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
    assured(podUid, said, knows) {
      const assurances = said
        .flatMap(({ resource, level, loweredBy }): ReportedAssurance[] => {
          const known = ASSURANCES.find((one) => one === level);
          if (known === undefined || !RESOURCE.test(resource) || !knows(resource)) return [];
          return [
            {
              resource,
              level: known,
              loweredBy: loweredBy
                .slice(0, MAX_LOWERED_BY)
                .map(printable)
                .filter((text) => text !== ''),
            },
          ];
        })
        .slice(0, MAX_ASSURANCES_PER_SIDECAR);
      if (JSON.stringify(assurances) !== JSON.stringify(sidecars.get(podUid)?.assurances)) change(podUid, { assurances });
    },
    closed(podUid) {
      if (sidecars.delete(podUid)) tell();
    },
  };
}

const MAX_REASON_CHARS = 256;

/** Names of the target's columns and roles, which may be anything: a status holds one line of it. */
function printable(text: string): string {
  return text
    .replace(/[^\p{L}\p{N}\p{P}\p{S} ]/gu, '?')
    .slice(0, MAX_REASON_CHARS)
    .toWellFormed();
}
