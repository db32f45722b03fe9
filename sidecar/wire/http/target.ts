import { HttpError } from './errors.ts';

export interface RequestTarget {
  /** Of an absolute-form target, lower case, with its port; null for the origin form. */
  readonly authority: string | null;
  /** Normalised: this is what is judged and what is sent. */
  readonly path: string;
  /** Without `?`; empty where there is none. */
  readonly query: string;
}

const MAX_TARGET = 16_384;
/** RFC 3986 pchar without `;`, which servers take for parameters of a segment, or not. */
const PATH = /^\/(?:[A-Za-z0-9\-._~!$&'()*+,=:@/]|%[0-9A-Fa-f]{2})*$/;
/** Visible ASCII without `#`: a fragment never travels. */
const QUERY = /^[\x21\x22\x24-\x7e]*$/;
const ABSOLUTE = /^http:\/\/([^/?#@\s]+)(\/[^\s]*)?$/i;

/** The origin form, or the absolute form of a client that is told of a proxy. RFC 9112, section 3.2. Throws HttpError for any other. */
export function readRequestTarget(target: string): RequestTarget {
  if (target.length > MAX_TARGET) throw new HttpError('bad_target', 'the request target is too long', 414);
  const absolute = target.startsWith('/') ? null : ABSOLUTE.exec(target);
  if (!target.startsWith('/') && absolute === null)
    throw new HttpError('bad_target', 'the request target is neither a path nor an http URL');
  const local = absolute === null ? target : (absolute[2] ?? '/');
  const mark = local.indexOf('?');
  const query = mark === -1 ? '' : local.slice(mark + 1);
  if (!QUERY.test(query)) throw new HttpError('bad_target', 'the query holds a character that must be encoded');
  return {
    authority: absolute === null ? null : (absolute[1] as string).toLowerCase(),
    path: normalisePath(mark === -1 ? local : local.slice(0, mark)),
    query,
  };
}

/**
 * One spelling for one path: percent-encoded unreserved characters are decoded, hex digits are upper case. What servers read in more than one way
 * is refused: dot segments and empty segments, encoded dots, slashes, backslashes, semicolons and controls, double encoding. RFC 3986, section 6.2.2.
 */
export function normalisePath(path: string): string {
  if (!PATH.test(path)) throw new HttpError('bad_path', 'the path holds a character that must be encoded');
  const normal = path.replace(/%([0-9A-Fa-f]{2})(?=([0-9A-Fa-f]{2})?)/g, (triplet, hex: string, next: string | undefined) => {
    const code = Number.parseInt(hex, 16);
    if (code < 0x20 || code === 0x7f || REFUSED.has(code) || (code === 0x25 && next !== undefined))
      throw new HttpError('bad_path', 'the path holds an encoded character that servers read in different ways');
    const character = String.fromCharCode(code);
    return /[A-Za-z0-9\-_~]/.test(character) ? character : triplet.toUpperCase();
  });
  const segments = normal.slice(1).split('/');
  if (segments.some((segment, i) => segment === '.' || segment === '..' || (segment === '' && i < segments.length - 1)))
    throw new HttpError('bad_path', 'the path holds a dot segment or an empty one');
  return normal;
}

/** `.`, `/`, `\`, `;` */
const REFUSED = new Set([0x2e, 0x2f, 0x5c, 0x3b]);
