import { HttpError } from './errors.ts';

export type Header = readonly [name: string, value: string];

const MAX_HEADERS = 100;
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}$/;
/** RFC 9110 field-value: no controls but the tab. Characters past ASCII stand for single bytes. */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Those that one hop makes and the next must not see. RFC 9110, section 7.6.1, and those of old proxies. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-authentication-info',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
]);

/** Two of them are read in two ways. */
const SINGLE = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'content-type',
  'content-encoding',
  'authorization',
  'proxy-authorization',
  'expect',
  'upgrade',
]);

/** They make a server do something else than the method and path say. */
const OVERRIDES = new Set([
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'x-original-url',
  'x-rewrite-url',
  'x-original-uri',
  'x-forwarded-uri',
  'x-forwarded-method',
  'x-forwarded-prefix',
]);

/** What an agent says of where it comes from; the service may believe it. */
const ORIGINS = new Set([
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-proto',
  'x-forwarded-server',
  'x-real-ip',
]);

/** Gateways turn `X_Name` and `X-Name` into one variable, so they are one name here. */
export function comparable(name: string): string {
  return name.toLowerCase().replaceAll('_', '-');
}

/** Flat names and values, as node:http gives them. Throws HttpError. */
export function readHeaders(raw: readonly string[]): Header[] {
  if (raw.length > 2 * MAX_HEADERS) throw new HttpError('too_many_headers', `a request has more than ${MAX_HEADERS} headers`, 431);
  const headers: Header[] = [];
  const seen = new Set<string>();
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] as string;
    const value = raw[i + 1] as string;
    const key = comparable(name);
    if (!NAME.test(name) || !VALUE.test(value)) throw new HttpError('bad_header', 'a header holds a character that it may not');
    if (OVERRIDES.has(key))
      throw new HttpError('override_header', 'a header that changes the method or the path of a request is not taken');
    if (SINGLE.has(key) && (seen.has(key) || key !== name.toLowerCase()))
      throw new HttpError('duplicate_header', 'a header that may come once came twice, or under another spelling');
    seen.add(key);
    headers.push([name, value]);
  }
  return headers;
}

/** Lower-case names; null where there is none. */
export function headerValue(headers: readonly Header[], name: string): string | null {
  return headers.find(([key]) => key.toLowerCase() === name)?.[1] ?? null;
}

/** What may go on to the other side: without hop-by-hop headers and those that `Connection` lists. */
export function endToEnd(headers: readonly Header[]): Header[] {
  const listed = new Set(
    headers.flatMap(([name, value]) =>
      name.toLowerCase() === 'connection' ? value.split(',').map((option) => comparable(option.trim())) : [],
    ),
  );
  return headers.filter(([name]) => !HOP_BY_HOP.has(comparable(name)) && !listed.has(comparable(name)));
}

export function withoutOrigins(headers: readonly Header[]): Header[] {
  return headers.filter(([name]) => !ORIGINS.has(comparable(name)));
}
