import type { ListOptions } from './options.ts';

export async function listSessions(options: ListOptions): Promise<number> {
  options.stderr.write('not supported yet\n');
  return 2;
}
