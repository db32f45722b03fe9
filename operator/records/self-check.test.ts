import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { Bucket } from './bucket.ts';
import { checkBucket } from './self-check.ts';

// The real server honours If-None-Match (e2e/records): one that ignores it has to be made up.
it('a bucket that stores an object twice is refused, and so is one that answers nonsense', async (test) => {
  const dir = mkdtempSync(join(tmpdir(), 'chaperone-bucket-'));
  test.after(() => rmSync(dir, { recursive: true, force: true }));
  for (const name of ['access-key-id', 'secret-access-key']) writeFileSync(join(dir, name), 'x');
  let answer = '<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>';
  const server = createServer((request, response) => {
    request.resume();
    request.on('end', () => response.writeHead(200).end(request.method === 'GET' ? answer : ''));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  test.after(() => server.close());
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const lock = { objectLockDays: 0, objectLockMode: 'COMPLIANCE' } as const;
  const bucket = new Bucket({ url: 's3://recordings/prod', endpoint, credentialsDir: dir, ...lock }, Date.now);
  test.after(() => bucket.close());
  const check = await checkBucket(bucket, 0);
  assert.equal(check.ready ? '' : check.reason, 'CreateOnlyIgnored');
  answer = '<html></html>';
  const other = await checkBucket(bucket, 0);
  assert.equal(other.ready ? '' : other.reason, 'VersioningOff');
});
