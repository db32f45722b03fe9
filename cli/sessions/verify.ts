import type { VerifyOptions } from './options.ts';

export async function verifyRecordings(options: VerifyOptions): Promise<number> {
  options.stderr.write('not supported yet\n');
  return 2;
}
