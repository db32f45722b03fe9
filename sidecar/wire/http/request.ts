import { HttpError } from './errors.ts';
import { endToEnd, type Header, headerValue, readHeaders, withoutOrigins } from './headers.ts';
import { readRequestTarget } from './target.ts';

/** A request's head, checked: there is one way to read it. */
export interface RequestHead {
  readonly method: string;
  /** Lower case, without port; an IPv6 address without brackets. */
  readonly host: string;
  readonly path: string;
  readonly query: string;
  /** End-to-end headers without Host and Content-Length. */
  readonly headers: readonly Header[];
  readonly body: { readonly type: 'none' } | { readonly type: 'length'; readonly bytes: number } | { readonly type: 'chunked' };
  /** Value of Proxy-Authorization. */
  readonly proxyAuthorization: string | null;
}

export interface RawRequest {
  readonly method: string;
  readonly target: string;
  readonly httpVersion: string;
  readonly rawHeaders: readonly string[];
}

const METHOD = /^[A-Z][A-Z-]{0,31}$/;
/** TRACE would send the service's credential back. */
const REFUSED_METHODS = new Set(['CONNECT', 'TRACE', 'TRACK']);
/** A server that takes no body with these would read it as the next request, which nobody judged. */
const BODYLESS = new Set(['GET', 'HEAD', 'OPTIONS']);
const HOST = /^(?:\[([0-9a-f:.]{2,45})\]|([a-z0-9](?:[a-z0-9._-]{0,252})))(?::(\d{1,5}))?$/;

/** Throws HttpError for all that could be read in two ways. RFC 9112, RFC 9110. */
export function readRequestHead(raw: RawRequest): RequestHead {
  if (raw.httpVersion !== '1.1') throw new HttpError('bad_version', 'only HTTP/1.1 is spoken', 505);
  if (!METHOD.test(raw.method)) throw new HttpError('bad_method', 'the method holds a character that it may not', 501);
  if (REFUSED_METHODS.has(raw.method)) throw new HttpError('unsupported', 'the method is not supported', 501);
  const headers = readHeaders(raw.rawHeaders);
  if (headerValue(headers, 'upgrade') !== null) throw new HttpError('unsupported', 'a change of protocol is not supported', 501);
  if (headerValue(headers, 'expect') !== null) throw new HttpError('unsupported', 'Expect is not supported', 417);
  const target = readRequestTarget(raw.target);
  const host = headerValue(headers, 'host')?.toLowerCase() ?? '';
  if (target.authority !== null && target.authority !== host)
    throw new HttpError('bad_host', 'the URL and the Host header name different hosts');
  const body = readBody(headers);
  if (body.type !== 'none' && BODYLESS.has(raw.method)) throw new HttpError('unexpected_body', 'a body can not come with this method');
  return {
    method: raw.method,
    host: hostName(host),
    path: target.path,
    query: target.query,
    headers: withoutOrigins(endToEnd(headers)).filter(([name]) => !/^(?:host|content-length)$/i.test(name)),
    body,
    proxyAuthorization: headerValue(headers, 'proxy-authorization'),
  };
}

function hostName(host: string): string {
  const match = HOST.exec(host);
  if (match === null || Number(match[3] ?? 0) > 65_535) throw new HttpError('bad_host', 'the Host header is missing or not a host');
  return (match[1] ?? match[2] ?? '').replace(/\.$/, '');
}

function readBody(headers: readonly Header[]): RequestHead['body'] {
  const length = headerValue(headers, 'content-length');
  const coding = headerValue(headers, 'transfer-encoding');
  if (length !== null && coding !== null) throw new HttpError('bad_header', 'Content-Length and Transfer-Encoding came together');
  if (coding !== null) {
    if (coding.toLowerCase() !== 'chunked') throw new HttpError('bad_header', 'the only transfer coding that is taken is chunked');
    return { type: 'chunked' };
  }
  if (length === null) return { type: 'none' };
  if (!/^\d{1,15}$/.test(length)) throw new HttpError('bad_header', 'Content-Length is not a number');
  return Number(length) === 0 ? { type: 'none' } : { type: 'length', bytes: Number(length) };
}
