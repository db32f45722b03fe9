import type { HttpAction } from './action.ts';
import { segments } from './glob.ts';
import type { Gap } from './match-sql.ts';
import type { HttpMatch } from './snapshot.ts';

/** Null where every member that is present holds for the request. A request is one thing, so covering and meeting it are the same. */
export type HttpMatcher = (action: HttpAction) => Gap['at'] | null;

export function compileHttp(match: HttpMatch): HttpMatcher {
  const methods = match.methods && new Set(match.methods);
  const hosts = match.hosts?.map((host) => segments(host, '.'));
  const paths = match.paths?.map((path) => segments(path, '/'));
  return ({ method, host, path }) => {
    if (methods !== undefined && !methods.has(method)) return 'method';
    if (hosts !== undefined && !hosts.some((matches) => matches(host))) return 'host';
    if (paths !== undefined && !paths.some((matches) => matches(path))) return 'path';
    return null;
  };
}
