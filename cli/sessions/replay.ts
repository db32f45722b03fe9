import type { ReplayOptions } from './options.ts';

export async function replaySession(options: ReplayOptions): Promise<number> {
  options.stderr.write('not supported yet\n');
  return 2;
}
