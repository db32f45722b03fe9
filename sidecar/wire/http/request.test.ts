import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { HttpError, type HttpErrorCode } from './errors.ts';
import { endToEnd } from './headers.ts';
import { type RawRequest, readRequestHead } from './request.ts';
import { normalisePath } from './target.ts';

const raw = (over: Partial<RawRequest> = {}, ...headers: string[]): RawRequest => ({
  method: 'GET',
  target: '/v1/invoices',
  httpVersion: '1.1',
  rawHeaders: ['Host', 'billing.internal:8080', ...headers],
  ...over,
});

test('a plain request', () => {
  const head = readRequestHead(
    raw(
      { method: 'POST', target: '/v1/invoices?a=1&b=[2]' },
      'Content-Length',
      '3',
      'X-A',
      'b',
      'Connection',
      'close, X-Hop',
      'X-Hop',
      'c',
      'X-Forwarded-For',
      '1.2.3.4',
      'TE',
      'trailers',
    ),
  );
  assert.deepEqual(head, {
    method: 'POST',
    host: 'billing.internal',
    path: '/v1/invoices',
    query: 'a=1&b=[2]',
    headers: [['X-A', 'b']],
    body: { type: 'length', bytes: 3 },
    proxyAuthorization: null,
  });
});

const REFUSED: readonly (readonly [string, RawRequest, HttpErrorCode])[] = [
  ['two Host headers', raw({}, 'Host', 'other'), 'duplicate_header'],
  ['no Host header', raw({ rawHeaders: [] }), 'bad_host'],
  ['a Host with a path', raw({ rawHeaders: ['Host', 'a/b'] }), 'bad_host'],
  ['a Host with credentials', raw({ rawHeaders: ['Host', 'a@b'] }), 'bad_host'],
  ['Content-Length twice, even if equal', raw({ method: 'POST' }, 'Content-Length', '3', 'Content-Length', '3'), 'duplicate_header'],
  ['Content-Length with another spelling', raw({ method: 'POST' }, 'Content_Length', '3'), 'duplicate_header'],
  ['Content-Length and Transfer-Encoding', raw({ method: 'POST' }, 'Content-Length', '3', 'Transfer-Encoding', 'chunked'), 'bad_header'],
  ['a Content-Length with a sign', raw({ method: 'POST' }, 'Content-Length', '+3'), 'bad_header'],
  ['a list of lengths', raw({ method: 'POST' }, 'Content-Length', '3, 3'), 'bad_header'],
  ['a coding that is not chunked', raw({ method: 'POST' }, 'Transfer-Encoding', 'gzip, chunked'), 'bad_header'],
  ['a header with a NUL', raw({}, 'X', 'a\0b'), 'bad_header'],
  ['a header with a line end', raw({}, 'X', 'a\r\nY: b'), 'bad_header'],
  ['a header name with a space', raw({}, 'X ', 'a'), 'bad_header'],
  ['a method override', raw({}, 'X-HTTP-Method-Override', 'DELETE'), 'override_header'],
  ['a method override with underscores', raw({}, 'X_HTTP_METHOD_OVERRIDE', 'DELETE'), 'override_header'],
  ['a path override', raw({}, 'X-Original-URL', '/admin'), 'override_header'],
  ['Upgrade', raw({}, 'Upgrade', 'websocket', 'Connection', 'upgrade'), 'unsupported'],
  ['Expect', raw({ method: 'POST' }, 'Expect', '100-continue', 'Content-Length', '3'), 'unsupported'],
  ['TRACE', raw({ method: 'TRACE' }), 'unsupported'],
  ['CONNECT', raw({ method: 'CONNECT', target: 'a:1' }), 'unsupported'],
  ['a GET with a body', raw({}, 'Content-Length', '3'), 'unexpected_body'],
  ['a GET with a chunked body', raw({}, 'Transfer-Encoding', 'chunked'), 'unexpected_body'],
  ['HTTP/1.0', raw({ httpVersion: '1.0' }), 'bad_version'],
  ['a URL of another host', raw({ target: 'http://other/v1' }), 'bad_host'],
  ['a URL of another scheme', raw({ target: 'https://billing.internal:8080/v1' }), 'bad_target'],
  ['an asterisk', raw({ method: 'OPTIONS', target: '*' }), 'bad_target'],
  ['a fragment', raw({ target: '/a?b#c' }), 'bad_target'],
  ['too many headers', raw({}, ...Array.from({ length: 200 }, (_, i) => [`X-${i}`, 'a']).flat()), 'too_many_headers'],
  ...[
    '/a/../b',
    '/./a',
    '/a/..',
    '/a//b',
    '//a',
    '/a%2fb',
    '/a%2Fb',
    '/a%5cb',
    '/a\\b',
    '/a%00',
    '/a%0a',
    '/%2e%2e/b',
    '/a%2ejson',
    '/a;b',
    '/a%3bb',
    '/a%252e',
    '/a%',
    '/a%zz',
    '/a b',
    '/ä',
    '/a"b',
  ].map((target): readonly [string, RawRequest, HttpErrorCode] => [`the path ${target}`, raw({ target }), 'bad_path']),
];

for (const [what, request, code] of REFUSED) {
  test(`refused: ${what}`, () => {
    assert.throws(
      () => readRequestHead(request),
      (error: unknown) => error instanceof HttpError && error.code === code,
    );
  });
}

test('the absolute form of the same host is the path', () => {
  assert.equal(readRequestHead(raw({ target: 'http://Billing.Internal:8080/v1?x' })).path, '/v1');
  assert.equal(readRequestHead(raw({ target: 'http://billing.internal:8080' })).path, '/');
});

test('one path has one spelling', () => {
  for (const [path, normal] of [
    ['/', '/'],
    ['/a/', '/a/'],
    ['/%61%2D%7e', '/a-~'],
    ['/%c3%a4', '/%C3%A4'],
    ['/a%20b', '/a%20b'],
    ['/a%25', '/a%25'],
    ['/$&+,=:@', '/$&+,=:@'],
  ])
    assert.equal(normalisePath(path as string), normal);
});

test('what is normal stays so, and nothing that is refused comes out', () => {
  fc.assert(
    fc.property(fc.stringMatching(/^\/(?:[a-z.]|%[0-9a-fA-F]{2}|\/){0,12}$/), (path) => {
      let normal: string;
      try {
        normal = normalisePath(path);
      } catch (error: unknown) {
        return assert.ok(error instanceof HttpError);
      }
      assert.equal(normalisePath(normal), normal);
      assert.doesNotMatch(normal, /\/\.{0,2}\/|\/\.{1,2}$|%2[ef5]{1}|%5c|%00|;|\\/i);
    }),
  );
});

test('hop-by-hop headers stay on their hop', () => {
  const headers = [
    ['Connection', 'X-A, keep-alive'],
    ['X-A', '1'],
    ['x_a', '1'],
    ['Keep-Alive', 't'],
    ['Transfer-Encoding', 'chunked'],
    ['X-B', '2'],
  ] as const;
  assert.deepEqual(endToEnd(headers), [['X-B', '2']]);
});
