/** RFC 6902, the three operations that are needed. */
export type PatchOperation =
  | { readonly op: 'add' | 'replace'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string };

/** What makes `after` of `before`; nothing where they are equal. Objects are compared by member, arrays of one length by index, others are replaced. */
export function patchBetween(before: unknown, after: unknown, path = ''): PatchOperation[] {
  if (Array.isArray(before) && Array.isArray(after)) return betweenArrays(before, after, path);
  if (isObject(before) && isObject(after)) return betweenObjects(before, after, path);
  return Object.is(before, after) ? [] : [{ op: 'replace', path, value: after }];
}

function betweenArrays(before: readonly unknown[], after: readonly unknown[], path: string): PatchOperation[] {
  if (before.length !== after.length) return [{ op: 'replace', path, value: after }];
  return after.flatMap((value, i) => patchBetween(before[i], value, `${path}/${i}`));
}

function betweenObjects(before: Members, after: Members, path: string): PatchOperation[] {
  const at = (name: string) => `${path}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
  const removed = Object.keys(before).filter((name) => after[name] === undefined && before[name] !== undefined);
  const changed = Object.entries(after).flatMap(([name, value]): PatchOperation[] => {
    if (value === undefined) return [];
    return before[name] === undefined ? [{ op: 'add', path: at(name), value }] : patchBetween(before[name], value, at(name));
  });
  return [...removed.map((name): PatchOperation => ({ op: 'remove', path: at(name) })), ...changed];
}

type Members = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
