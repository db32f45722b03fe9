/** The assurance of open sessions: for a metric, and for what the operator is told. */
import { ASSURANCES, isBelow, type SessionAssurance } from '#crds/policy/assurance.ts';
import type { AssuranceSink, ResourceKey } from '../pipeline.ts';

/** Resources that a sidecar tells of. */
const MAX_RESOURCES = 1000;

export interface Assurances extends AssuranceSink {
  /** Open sessions by resource (`namespace/name`) and level. */
  readonly open: readonly { readonly resource: string; readonly level: string; readonly count: number }[];
  /** The lowest of each resource since it was asked last, or what was told last where no session was open since. */
  lowest(): ReadonlyMap<string, SessionAssurance>;
}

export function createAssurances(): Assurances {
  const sessions = new Map<string, { readonly resource: string; readonly found: SessionAssurance }>();
  /** Since it was asked last. */
  let seen = new Map<string, SessionAssurance>();
  let told = new Map<string, SessionAssurance>();
  const note = (into: Map<string, SessionAssurance>, resource: string, found: SessionAssurance) => {
    const known = into.get(resource);
    if (known === undefined || isBelow(found.level, known.level)) into.set(resource, found);
  };
  return {
    set(session, { namespace, name }: ResourceKey, found) {
      const resource = `${namespace}/${name}`;
      sessions.set(session, { resource, found });
      if (seen.has(resource) || seen.size < MAX_RESOURCES) note(seen, resource, found);
    },
    remove: (session) => void sessions.delete(session),
    get open() {
      const counts = new Map<string, number>();
      for (const { resource, found } of sessions.values()) {
        const key = `${found.level} ${resource}`;
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
      return [...counts].map(([key, count]) => {
        const level = ASSURANCES.find((one) => key.startsWith(`${one} `)) ?? 'None';
        return { resource: key.slice(level.length + 1), level, count };
      });
    },
    lowest() {
      const now = seen;
      for (const { resource, found } of sessions.values()) note(now, resource, found);
      told = new Map([...told, ...now]);
      seen = new Map();
      return told;
    },
  };
}
