/** Runs the session commands as the CLI does, and keeps what they print. */
import { Writable } from 'node:stream';
import type { Finding } from '#crds/record/finding.ts';
import type { SessionsOptions, VerifyOptions } from './options.ts';
import { type Verification, verifyRecordings } from './verify.ts';

export interface Kept {
  readonly stream: Writable;
  text(): string;
}

export function kept(): Kept {
  const chunks: string[] = [];
  const stream = new Writable({
    write(chunk, _encoding, done) {
      chunks.push(String(chunk));
      done();
    },
  });
  return { stream, text: () => chunks.join('') };
}

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function run<T extends SessionsOptions>(
  command: (options: T) => Promise<number>,
  options: Omit<T, 'stdout' | 'stderr' | 'output'> & { readonly output?: 'table' | 'json' },
): Promise<Ran> {
  const stdout = kept();
  const stderr = kept();
  const code = await command({ output: 'table', ...options, stdout: stdout.stream, stderr: stderr.stream } as unknown as T);
  return { code, stdout: stdout.text(), stderr: stderr.text() };
}

export async function verify(dir: string, options: Partial<VerifyOptions> = {}): Promise<Verification & { readonly code: number }> {
  const ran = await run(verifyRecordings, { dir, publicKeys: [], ...options, output: 'json' });
  if (ran.stderr !== '') throw new Error(ran.stderr);
  return { ...(JSON.parse(ran.stdout) as Verification), code: ran.code };
}

export function errorsOf(verification: Verification): readonly Finding[] {
  return verification.findings.filter((finding) => finding.severity === 'error');
}
