import { setTimeout as delay } from 'node:timers/promises';

/** For tests: waits until it is so. A busy machine is slow, so what takes long is no failure; what never comes is. */
export async function until(what: string, condition: () => boolean, timeoutMs = 20_000): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited too long for: ${what}`);
    await delay(5);
  }
}
