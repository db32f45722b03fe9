import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createServer } from 'node:tls';
import { promisify } from 'node:util';
import { newAuthority, newLeaf } from '#sidecar/listener/x509.ts';

const validity = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) };

test('a target with no CA of its own is checked against the roots of the machine', { skip: process.platform !== 'linux' }, async () => {
  const authority = newAuthority('machine CA', validity);
  const leaf = newLeaf(authority, 'machine CA', ['localhost'], validity);
  const folder = mkdtempSync(join(tmpdir(), 'chaperone-roots-'));
  const file = join(folder, 'roots.pem');
  writeFileSync(file, authority.certificate);
  const key = leaf.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const server = createServer({ key, cert: leaf.certificate }).listen(0, '127.0.0.1');
  server.on('tlsClientError', () => {});
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const script = `
    import { connect } from 'node:net';
    import { startUpstreamTls } from ${JSON.stringify(new URL('tls.ts', import.meta.url).href)};
    const socket = connect(${port}, '127.0.0.1');
    const options = { tls: { mode: 'VerifyFull', serverName: 'localhost' }, address: { host: '127.0.0.1', port: ${port} }, alpn: [], timeoutMs: 5000 };
    startUpstreamTls(socket, options).then((secure) => { console.log('trusted'); secure.destroy(); }, (error) => console.log(error.code));`;
  const run = async (roots: string): Promise<string> => {
    const env = { SSL_CERT_FILE: roots, SSL_CERT_DIR: join(folder, 'no-such-folder') };
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { env });
    return stdout.trim();
  };
  try {
    assert.equal(await run(file), 'trusted');
    assert.equal(await run(join(folder, 'none.pem')), 'tls_untrusted');
  } finally {
    server.close();
    rmSync(folder, { recursive: true });
  }
});
