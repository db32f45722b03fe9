import type { Source } from '#crds/policy/snapshot.ts';

/** The highest generation seen of each source, by kind, namespace, name and UID. */
export type HighWater = ReadonlyMap<string, number>;

/** Sources that would go back to a generation older than one that was in force: what was revoked stays revoked. */
export function goesBack(highWater: HighWater, sources: readonly Source[]): string[] {
  return sources.flatMap((source) => {
    const seen = highWater.get(sourceKey(source));
    if (seen === undefined || source.generation >= seen) return [];
    return [`${source.kind} ${source.namespace}/${source.name} would go back from generation ${seen} to ${source.generation}`];
  });
}

/** Sources that are gone are kept: the same UID may come back only at its last generation or a later one. */
export function raised(highWater: HighWater, sources: readonly Source[]): HighWater {
  const next = new Map(highWater);
  for (const source of sources) next.set(sourceKey(source), source.generation);
  return next;
}

const sourceKey = (source: Source) => `${source.kind}/${source.namespace}/${source.name}/${source.uid}`;
