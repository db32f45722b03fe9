import { eventsOf, findSession, summaryOf } from './events.ts';
import type { ShowOptions } from './options.ts';
import { renderEvent } from './render.ts';
import { painter } from './table.ts';

/** Prints all events of one session: a JSON array, or as `replay` does without waiting, after a summary. */
export async function showSession(options: ShowOptions): Promise<number> {
  const found = await findSession(options, options.session);
  if (found.type !== 'one') return refuse(options, found);
  const { session } = found;
  const events = await Array.fromAsync(eventsOf(session));
  const summary = await summaryOf(session);
  if (options.output === 'json') {
    options.stdout.write(`${JSON.stringify({ summary, events }, null, 2)}\n`);
    return 0;
  }
  const paint = painter(options.color);
  const started = Date.parse(events[0]?.time ?? '');
  options.stdout.write(
    `${paint('bold', `session ${session.place.session}`)}, ${events.length} events in ${session.segments.length} files${summary === null ? '' : `, assurance ${summary.assurance}`}\n`,
  );
  for (const event of events) options.stdout.write(renderEvent(event, started, paint));
  return 0;
}

export function refuse(options: ShowOptions, found: { readonly type: string; readonly message: string }): number {
  options.stderr.write(`${found.message}\n`);
  return found.type === 'none' ? 1 : 2;
}
