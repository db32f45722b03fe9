import type { ShowOptions } from './options.ts';

export async function showSession(options: ShowOptions): Promise<number> {
  options.stderr.write('not supported yet\n');
  return 2;
}
