/** A reporter of node:test that ends the process with the first test that fails: the mutant is found out. */
interface Event {
  readonly type: string;
  readonly data: { readonly details?: { readonly passed?: boolean }; readonly todo?: unknown; readonly skip?: unknown };
}

// oxlint-disable-next-line import/no-default-export -- node:test asks for one
export default async function* bail(events: AsyncIterable<Event>): AsyncGenerator<string> {
  for await (const { type, data } of events) {
    const failed = type === 'test:fail' || (type === 'test:complete' && data.details?.passed === false);
    if (failed && data.todo === undefined && data.skip === undefined) process.exit(1);
    yield '';
  }
}
