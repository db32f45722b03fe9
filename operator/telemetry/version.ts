import { readFileSync } from 'node:fs';

/** Put in by `npm run build`; not there in a source tree. */
declare const CHAPERONE_BUILD: { readonly version: string; readonly commit: string | null } | undefined;

/** `0.1.0 (commit)`; without a commit where it is not known. */
export function operatorVersion(): { readonly version: string; readonly commit: string | null } {
  if (typeof CHAPERONE_BUILD !== 'undefined') return CHAPERONE_BUILD;
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };
  return { version, commit: null };
}
