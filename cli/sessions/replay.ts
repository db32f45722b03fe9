import { setTimeout } from 'node:timers/promises';
import { eventsOf, findSession } from './events.ts';
import type { ReplayOptions } from './options.ts';
import { renderEvent } from './render.ts';
import { refuse } from './show.ts';
import { painter } from './table.ts';

const DEFAULT_MAX_PAUSE_MS = 2000;

/** Prints a session as it went, statement by statement; with `speed`, in its own time. JSON is a line per event, as stored. */
export async function replaySession(options: ReplayOptions): Promise<number> {
  const speed = options.speed ?? 0;
  if (!Number.isFinite(speed) || speed < 0) {
    options.stderr.write('--speed takes 0 (do not wait), 1 (as it happened), or any other factor above 0\n');
    return 2;
  }
  const found = await findSession(options, options.session);
  if (found.type !== 'one') return refuse(options, found);
  const paint = painter(options.color);
  let started: number | null = null;
  let before: number | null = null;
  for await (const event of eventsOf(found.session)) {
    const time = Date.parse(event.time);
    started ??= time;
    if (speed > 0 && before !== null) await pause((time - before) / speed, options);
    before = time;
    options.stdout.write(options.output === 'json' ? `${JSON.stringify(event)}\n` : renderEvent(event, started, paint));
  }
  return 0;
}

async function pause(ms: number, options: ReplayOptions): Promise<void> {
  const bounded = Math.min(Math.max(0, ms), options.maxPauseMs ?? DEFAULT_MAX_PAUSE_MS);
  if (bounded > 0) await (options.sleep ?? setTimeout)(bounded);
}
