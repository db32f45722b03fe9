import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
// @ts-expect-error: the package has no types
import Provider from 'oidc-provider';
import { readIssuers } from './read-issuers.ts';
import { createTokenVerifier } from './token.ts';

/** A real OpenID provider: its discovery says where its keys are, its token endpoint gives JWT access tokens (RFC 9068). */
let server: Server;
let issuer: string;
let jwksUrl: string;
const secret = randomBytes(16).toString('hex');

before(async () => {
  server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
  const resource = (audience: string) => ({ scope: 'use', audience, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } });
  const provider = new Provider(issuer, {
    jwks: { keys: [{ ...key, alg: 'RS256', use: 'sig' }] },
    clients: [{ client_id: 'agent-7', client_secret: secret, grant_types: ['client_credentials'], redirect_uris: [], response_types: [] }],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: { enabled: true, getResourceServerInfo: (_ctx: unknown, uri: string) => resource(uri.replace('urn:', '')) },
    },
    extraTokenClaims: () => ({ groups: ['sre'] }),
    scopes: ['use'],
  });
  server.on('request', provider.callback());
  jwksUrl = ((await (await fetch(`${issuer}/.well-known/openid-configuration`)).json()) as { jwks_uri: string }).jwks_uri;
});
after(() => {
  server.closeAllConnections();
  server.close();
});

async function accessToken(audience: string): Promise<string> {
  const answer = await fetch(`${issuer}/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(`agent-7:${secret}`).toString('base64')}` },
    body: new URLSearchParams({ grant_type: 'client_credentials', resource: `urn:${audience}`, scope: 'use' }),
  });
  const body = (await answer.json()) as { access_token?: string };
  return body.access_token ?? assert.fail(JSON.stringify(body));
}
const verifier = () => createTokenVerifier(readIssuers(JSON.stringify({ issuers: [{ issuer, jwksUrl }] }), '/'), Date.now);

test('a token of a real provider is verified by the keys that it serves', async () => {
  const principal = await verifier()(await accessToken('chaperone'));
  assert.deepEqual([principal.issuer, principal.subject, principal.groups], [issuer, 'agent-7', ['sre']]);
});

test('its token for another service is refused', async () => {
  await assert.rejects(verifier()(await accessToken('other')), { code: 'WrongAudience' });
});
