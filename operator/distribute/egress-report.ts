/** What sidecars tell of connections that no ProtectedResource names: counted, and said on the pod, so that whoever runs it sees what it tried. */
import { isIP } from 'node:net';
import type { ReportRequest } from '#crds/gen/chaperone/v1/sidecar_pb.js';
import type { SidecarPeer } from './peer.ts';
import type { PodEvents } from './sources.ts';

export interface EgressReportOptions {
  readonly events: PodEvents;
  readonly count: (verdict: EgressVerdict, count: number) => void;
  readonly now: () => number;
}

const VERDICTS = ['denied', 'audited', 'allowed', 'ambiguous'] as const;
type EgressVerdict = (typeof VERDICTS)[number];

/** Of one report: the sidecar tells of a thousand at most. */
const MAX_COUNTED = 1_000;
/** Of one pod, and how long what was said is not said again. */
const MAX_SAID = 20;
const SAID_MS = 30 * 60_000;
const MAX_PODS = 10_000;
/** One report can't make a counter jump out of proportion. */
const MAX_COUNT = 1_000_000n;

const WORDS: { readonly [verdict in Exclude<EgressVerdict, 'allowed'>]: string } = {
  denied: 'was refused a connection to',
  audited: 'connected, unmonitored, to',
  ambiguous: 'was refused a connection to',
};

export function createEgressReport({ events, count, now }: EgressReportOptions): (peer: SidecarPeer, request: ReportRequest) => void {
  const said = new Map<string, { readonly atMs: number; readonly what: Set<string> }>();
  const saidOf = (podUid: string) => {
    const known = said.get(podUid);
    if (known !== undefined && now() - known.atMs < SAID_MS) return known.what;
    const entry = { atMs: now(), what: new Set<string>() };
    said.delete(podUid);
    said.set(podUid, entry);
    const [oldest] = said.keys();
    if (said.size > MAX_PODS && oldest !== undefined) said.delete(oldest);
    return entry.what;
  };
  return ({ namespace, pod, podUid }, { egress }) => {
    for (const { destination, port, verdict: text, count: times } of egress.slice(0, MAX_COUNTED)) {
      const verdict = VERDICTS.find((one) => one === text);
      if (verdict === undefined || isIP(destination) === 0 || port < 1 || port > 65_535 || times < 1n) continue;
      count(verdict, Number(times < MAX_COUNT ? times : MAX_COUNT));
      // What the egress policy lets through unseen is no news.
      if (verdict === 'allowed') continue;
      const where = isIP(destination) === 6 ? `[${destination}]:${port}` : `${destination}:${port}`;
      const why = verdict === 'ambiguous' ? 'which several ProtectedResources name' : 'which no ProtectedResource names';
      const note = `The agent ${WORDS[verdict]} ${where}, ${why}.`;
      const already = saidOf(podUid);
      if (already.has(note) || already.size >= MAX_SAID) continue;
      already.add(note);
      events.emit('UnmonitoredEgress', { namespace, name: pod, uid: podUid }, note);
    }
  };
}
