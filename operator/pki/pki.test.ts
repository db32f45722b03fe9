import assert from 'node:assert/strict';
import { createPrivateKey as createKey, createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { after, test } from 'node:test';
import { connect, createServer, type Server, type TLSSocket } from 'node:tls';
import { parseSpiffeId, spiffeId } from '#crds/control/spiffe.ts';
import { Authority, LIFE_MS, newAuthorityState, rotated, rotationIsDue } from './authority.ts';
import { createServingCertificate } from './serving.ts';
import { AuthorityError, loadOrCreateAuthority, refreshAuthority, type SecretStore, type StoredSecret } from './store.ts';
import { isEd25519Key, keyOfRequest, newKey } from './x509.ts';

const IDENTITY = {
  trustDomain: 'cluster.local',
  namespace: 'shop',
  serviceAccount: 'agent',
  podUid: '0b5c1c52-3a2c-4c7e-9d0b-0f2f6a2f1a11',
};
const opened: { close(): unknown }[] = [];
after(() => Promise.all(opened.map((one) => one.close())));

/** What the client sees of the server, or the code of why not; and what the server sees of the client. */
async function handshake(
  server: { key: string; chain: string; clientCa: string },
  client: { ca: string; name?: string; key?: string; chain?: string },
): Promise<{ server: string; client: string }> {
  const seen: { client: string } = { client: 'none' };
  const tlsServer = createServer(
    { key: server.key, cert: server.chain, ca: server.clientCa, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3' },
    (socket) => {
      seen.client = socket.getPeerCertificate().subjectaltname ?? 'none';
      socket.end('hello');
    },
  );
  try {
    tlsServer.listen(0, '127.0.0.1');
    await once(tlsServer, 'listening');
    return { server: await greeting(tlsServer, client), client: seen.client };
  } finally {
    tlsServer.close();
  }
}

function greeting(server: Server, client: { ca: string; name?: string; key?: string; chain?: string }): Promise<string> {
  const { port } = server.address() as AddressInfo;
  const pair = client.key === undefined ? {} : { key: client.key, cert: client.chain ?? '' };
  return new Promise((resolve) => {
    const socket: TLSSocket = connect({
      port,
      host: '127.0.0.1',
      ca: client.ca,
      servername: client.name ?? 'chaperone.chaperone-system.svc',
      ...pair,
    });
    socket.on('data', (data) => resolve(data.toString()));
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.on('close', () => resolve('closed'));
  });
}

async function issue(authority: Authority, nowMs: number) {
  const serving = await authority.serving(['chaperone.chaperone-system.svc', '127.0.0.1'], nowMs);
  const { publicKey, key } = await newKey('P-256');
  return { serving, client: { key, chain: await authority.workload(IDENTITY, publicKey, nowMs) } };
}

test('a server and an enrolled sidecar know each other; without a certificate, under another name or past its life nobody gets through', async () => {
  const now = Date.now();
  const authority = new Authority(await newAuthorityState(now));
  const { serving, client } = await issue(authority, now);
  const server = { ...serving, clientCa: authority.bundle };
  assert.deepEqual(await handshake(server, { ca: authority.bundle, ...client }), { server: 'hello', client: `URI:${spiffeId(IDENTITY)}` });
  assert.match((await handshake(server, { ca: authority.bundle })).server, /CERTIFICATE_REQUIRED|closed|ECONNRESET/);
  assert.equal((await handshake(server, { ca: authority.bundle, ...client, name: 'other.svc' })).server, 'ERR_TLS_CERT_ALTNAME_INVALID');
  const old = await issue(authority, now - 2 * LIFE_MS.workload);
  assert.match((await handshake(server, { ca: authority.bundle, ...old.client })).server, /EXPIRED|closed|ECONNRESET/);
  const stranger = new Authority(await newAuthorityState(now));
  const theirs = await issue(stranger, now);
  assert.match((await handshake(server, { ca: authority.bundle, ...theirs.client })).server, /UNKNOWN_CA|closed|ECONNRESET|DECRYPT/);
  assert.match((await handshake(server, { ca: stranger.bundle, ...client })).server, /UNABLE_TO_VERIFY|SELF_SIGNED|UNABLE_TO_GET/);
  // A workload's certificate does not make a server.
  assert.match(
    (await handshake({ key: client.key, chain: client.chain, clientCa: authority.bundle }, { ca: authority.bundle })).server,
    /ALTNAME|PURPOSE/,
  );
});

test('after a rotation both sides of each age trust each other', async () => {
  const now = Date.now();
  const old = await newAuthorityState(now);
  const before = new Authority(old);
  // Later, so that it has another name: a CA that is its own issuer by name counts for nothing in a path.
  const state = await rotated(old, now + 5000);
  const after = new Authority(state);
  assert.equal(JSON.stringify(state).includes(JSON.stringify(old.current.key)), false, 'the old key is gone');
  const [a, b] = [await issue(before, now), await issue(after, now)];
  for (const [server, client, clientTrusts, serverTrusts] of [
    [b.serving, a.client, before.bundle, after.bundle],
    [b.serving, b.client, after.bundle, after.bundle],
    [a.serving, b.client, after.bundle, before.bundle],
    [a.serving, a.client, after.bundle, after.bundle],
  ] as const) {
    const met = await handshake({ ...server, clientCa: serverTrusts }, { ca: clientTrusts, ...client });
    assert.equal(met.server, 'hello');
  }
});

test('a rotation is due at two thirds of the life', async () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  const state = await newAuthorityState(now);
  assert.equal(rotationIsDue(state, now + LIFE_MS.ca * 0.66), false);
  assert.equal(rotationIsDue(state, now + LIFE_MS.ca * 0.67), true);
});

test('certificates say what they are for', async () => {
  const now = Date.now();
  const authority = new Authority(await newAuthorityState(now));
  const { publicKey } = await newKey('Ed25519');
  assert.equal(isEd25519Key(publicKey), true);
  const recording = new X509Certificate(await authority.recording(IDENTITY, publicKey, now));
  assert.equal(recording.publicKey.asymmetricKeyType, 'ed25519');
  assert.deepEqual(parseSpiffeId((recording.subjectAltName ?? '').replace('URI:', '')), IDENTITY);
  assert.equal(recording.ca, false);
  assert.equal(recording.verify(createPublicKey(authority.state.current.certificate)), true);
  // Certificates know whole seconds.
  assert.ok(Math.abs(recording.validToDate.getTime() - now - LIFE_MS.recording) <= 1000);
  const countersigner = await authority.countersigner('cluster.local', now);
  assert.equal(new X509Certificate(countersigner.chain).checkPrivateKey(createPrivate(countersigner.key)), true);
  assert.equal(new X509Certificate(countersigner.chain).subjectAltName, 'URI:spiffe://cluster.local/recording-authority');
  const ca = new X509Certificate(authority.state.current.certificate);
  assert.equal(ca.ca, true);
});

function createPrivate(key: string) {
  return createKey({ key, format: 'pem' });
}

test('only a request that its own P-256 key signed is taken', async () => {
  assert.equal(await keyOfRequest(new Uint8Array(0)), null);
  assert.equal(await keyOfRequest(Buffer.from('nonsense')), null);
  assert.equal(await keyOfRequest(Buffer.alloc(5000, 0x30)), null);
  assert.equal(isEd25519Key(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'der' })), false);
});

test('a serving certificate is renewed under a server that runs', async () => {
  const authority = new Authority(await newAuthorityState(Date.now()));
  const serving = await createServingCertificate({
    authority,
    names: ['chaperone.chaperone-system.svc'],
    now: Date.now,
    lifeMs: 3000,
    onError: (error) => assert.fail(String(error)),
  });
  opened.push(serving);
  const server = createServer({ key: serving.current.key, cert: serving.current.chain }, (socket) => socket.end('hello'));
  opened.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const first = serving.current.chain;
  const changed = new Promise<void>((resolve) => serving.onChange(resolve));
  serving.onChange(() => server.setSecureContext({ key: serving.current.key, cert: serving.current.chain }));
  await changed;
  assert.notEqual(serving.current.chain, first);
  assert.equal(await greeting(server, { ca: authority.bundle }), 'hello');
  authority.replace(await rotated(authority.state, Date.now()));
  await new Promise<void>((resolve) => serving.onChange(resolve));
  assert.match(serving.current.bundle, /(BEGIN CERTIFICATE[\s\S]*){2}/);
  assert.equal(await greeting(server, { ca: authority.state.current.certificate }), 'hello');
});

/** A Secret with compare-and-swap, as the API server has it; e2e runs the same against a real one. */
function memoryStore(): SecretStore & { held: StoredSecret | null } {
  let version = 0;
  return {
    held: null,
    async read() {
      return this.held;
    },
    async create(data) {
      if (this.held !== null) return false;
      this.held = { data, resourceVersion: String(++version) };
      return true;
    },
    async replace(data, resourceVersion) {
      if (this.held?.resourceVersion !== resourceVersion) return false;
      this.held = { data, resourceVersion: String(++version) };
      return true;
    },
  };
}

test('replicas that start together have one CA, and one rotation', async () => {
  const store = memoryStore();
  const now = Date.now();
  const [one, two] = await Promise.all([loadOrCreateAuthority(store, now), loadOrCreateAuthority(store, now)]);
  assert.equal(one.bundle, two.bundle);
  const later = now + LIFE_MS.ca * 0.7;
  await refreshAuthority(two, store, later, false);
  assert.equal(one.bundle, two.bundle, 'who does not lead does not rotate');
  await Promise.all([refreshAuthority(one, store, later, true), refreshAuthority(two, store, later, true)]);
  await Promise.all([refreshAuthority(one, store, later, true), refreshAuthority(two, store, later, false)]);
  assert.equal(one.bundle, two.bundle);
  assert.notEqual(one.state.previous, null);
});

test('a Secret that holds no CA is not overwritten', async () => {
  const store = memoryStore();
  store.held = { data: { 'ca.crt': 'x' }, resourceVersion: '1' };
  await assert.rejects(loadOrCreateAuthority(store, 0), AuthorityError);
  assert.equal(store.held.data['ca.crt'], 'x');
});
