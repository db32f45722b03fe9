/** Maps with at most `places` at once; results stand in the order of `items`. */
export async function inOrder<T, R>(items: readonly T[], places: number, map: (item: T) => Promise<R>): Promise<readonly R[]> {
  const results = new Map<number, R>();
  const queue = items.entries();
  const work = async () => {
    for (const [index, item] of queue) results.set(index, await map(item));
  };
  await Promise.all(Array.from({ length: places }, work));
  return items.map((_, index) => results.get(index) as R);
}
