import { openLocalIssuer } from '#sidecar/identity/local-issuer.ts';
import { usageError } from '../exit.ts';
import type { Io } from '../io.ts';
import { type Common, seconds } from '../options.ts';

export interface TokenOptions extends Common {
  readonly subject: string;
  readonly group: readonly string[];
  readonly ttl: string;
  readonly claim: readonly string[];
  readonly state: string;
}

const MAX_TTL_SECONDS = 30 * 86_400;
const NAME = /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]{1,256}$/u;

/** Prints a JWT of the state folder's own issuer. Whoever can read that folder's key can be anybody: it is for one machine, not for a company. */
export async function token(options: TokenOptions, io: Io): Promise<number> {
  if (!NAME.test(options.subject) || options.subject.trim() === '') throw usageError('--subject: write a plain name');
  if (!options.group.every((group) => NAME.test(group))) throw usageError('--group: write a plain name');
  const ttlSeconds = seconds('--ttl', options.ttl, MAX_TTL_SECONDS);
  const claims = Object.fromEntries(options.claim.map(claimOf));
  const nowMs = io.now();
  const issuer = await openLocalIssuer(options.state);
  const jwt = await issuer.issue({ subject: options.subject, groups: options.group, ttlSeconds, claims, nowMs });
  const expiresAt = new Date(nowMs + ttlSeconds * 1000).toISOString();
  const { subject, group: groups } = options;
  io.stdout.write(
    options.output === 'json'
      ? `${JSON.stringify({ token: jwt, subject, groups, issuer: issuer.verifier.issuer, expiresAt })}\n`
      : `${jwt}\n`,
  );
  return 0;
}

function claimOf(text: string): [string, string] {
  const at = text.indexOf('=');
  if (at < 1) throw usageError(`--claim ${text}: write NAME=VALUE`);
  return [text.slice(0, at), text.slice(at + 1)];
}
