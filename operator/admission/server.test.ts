import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ownCertificate } from '#sidecar/listener/certificate.ts';
import { ALLOWED, type Handler } from './review.ts';
import { type AdmissionServer, serveAdmission } from './server.ts';
import { mountedCertificates } from './serving.ts';
import { requestFor, reviewFor } from './testing.ts';
import { WEBHOOK_PATHS, type WebhookPath } from './webhooks.ts';

const dir = mkdtempSync(join(tmpdir(), 'chaperone-admission-'));
after(() => rmSync(dir, { recursive: true }));

/** As the kubelet mounts a Secret: files are links into a folder that a link points to, which is swapped. */
async function mount(generation: string): Promise<string> {
  const made = await ownCertificate(join(dir, generation), [], new Date());
  const data = join(dir, 'mounted', `..${generation}`);
  mkdirSync(data, { recursive: true });
  for (const [name, content] of [
    ['tls.crt', made.certificate],
    ['tls.key', made.key],
    ['ca.crt', made.ca],
  ] as const)
    writeFileSync(join(data, name), content);
  symlinkSync(`..${generation}`, join(dir, 'mounted', '..next'));
  renameSync(join(dir, 'mounted', '..next'), join(dir, 'mounted', '..data'));
  return made.ca;
}

const errors: unknown[] = [];
const logged: object[] = [];
const log = { info: () => {}, warn: () => {}, error: (fields: object) => void logged.push(fields) };
const cas = [await mount('one')];
for (const name of ['tls.crt', 'tls.key', 'ca.crt']) symlinkSync(`..data/${name}`, join(dir, 'mounted', name));
const certificates = mountedCertificates(join(dir, 'mounted'), (error) => errors.push(error));
after(() => certificates.close());

async function serve(handlers: Partial<Record<WebhookPath, Handler>>, handlerTimeoutMs = 4000): Promise<AdmissionServer> {
  const routes = Object.fromEntries(WEBHOOK_PATHS.map((path) => [path, handlers[path] ?? (() => ALLOWED)])) as Record<WebhookPath, Handler>;
  const server = await serveAdmission({ host: '127.0.0.1', port: 0, certificates, routes, log, handlerTimeoutMs });
  after(() => server.close(100));
  return server;
}

interface Answered {
  readonly status: number;
  readonly allowed?: boolean;
  readonly message?: string;
}

function post(server: AdmissionServer, path: string, body: string | Buffer, type = 'application/json'): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const options = {
      host: '127.0.0.1',
      port: server.port,
      path,
      method: 'POST',
      ca: cas,
      agent: false,
      headers: { 'content-type': type },
    };
    const sent = httpsRequest(options, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => {
        const answer = text === '' ? undefined : JSON.parse(text).response;
        resolve({
          status: response.statusCode ?? 0,
          ...(answer === undefined ? {} : { allowed: answer.allowed, message: answer.status?.message }),
        });
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

const good = JSON.stringify(reviewFor(requestFor({ object: {} })));

test('a review gets its answer; a handler that throws or is late is a refusal that tells nothing', async () => {
  const server = await serve(
    {
      '/guard': () => {
        throw new TypeError('secret detail');
      },
      '/mutate': () => Promise.reject(new Error('secret detail')),
      '/validate': () => new Promise(() => {}),
    },
    50,
  );
  assert.equal((await post(server, '/approvals', good)).allowed, true);
  for (const path of ['/guard', '/mutate']) {
    const { allowed, message } = await post(server, path, good);
    assert.equal(allowed, false);
    assert.match(message ?? '', /could not judge/);
    assert.doesNotMatch(message ?? '', /secret/);
  }
  assert.equal(logged.length, 2);
  assert.deepEqual(await post(server, '/validate', good), {
    status: 200,
    allowed: false,
    message: 'chaperone could not judge this in time: try again',
  });
});

test('what is no review is no yes', async () => {
  const server = await serve({});
  for (const body of [
    '',
    '{}',
    '[]',
    'null',
    '{"kind":"AdmissionReview"}',
    good.replace('admission.k8s.io/v1', 'admission.k8s.io/v1beta1'),
    good.slice(1),
  ]) {
    assert.deepEqual(await post(server, '/guard', body), { status: 400 }, body);
  }
  assert.deepEqual(await post(server, '/guard', good.replace('"CREATE"', '"PATCH"')), { status: 400 });
  assert.deepEqual(await post(server, '/guard', good.replace('"object":{}', '"object":[]')), { status: 400 });
  assert.deepEqual(await post(server, '/elsewhere', good), { status: 404 });
  assert.deepEqual(await post(server, '/__proto__', good), { status: 404 });
  assert.deepEqual(await post(server, '/guard', good, 'text/plain'), { status: 405 });
});

test('a connection outlives what the API server keeps idle; from leave() on each answer ends its own', async () => {
  const server = await serve({});
  const agent = new Agent({ keepAlive: true });
  after(() => agent.destroy());
  const headers = () =>
    new Promise<IncomingHttpHeaders>((resolve, reject) => {
      const options = { host: '127.0.0.1', port: server.port, path: '/guard', method: 'POST', ca: cas, agent };
      const sent = httpsRequest({ ...options, headers: { 'content-type': 'application/json' } }, (response) => {
        response.resume().on('end', () => resolve(response.headers));
      });
      sent.on('error', reject).end(good);
    });
  const idleSeconds = Number(/^timeout=(\d+)$/.exec(String((await headers())['keep-alive']))?.[1]);
  assert.ok(idleSeconds > 90, `${idleSeconds} s`);
  server.leave();
  assert.equal((await headers()).connection, 'close');
});

test('a body has a limit', async () => {
  const server = await serve({});
  const answer = await post(server, '/guard', Buffer.alloc(9 * 1024 * 1024, 0x20)).catch((error: unknown) => error);
  assert.ok(answer instanceof Error || (answer as Answered).status === 413);
});

test('who connects and says nothing is let go, and is not a line of the log each', async () => {
  const warned: object[] = [];
  const routes = Object.fromEntries(WEBHOOK_PATHS.map((path) => [path, () => ALLOWED])) as unknown as Record<WebhookPath, Handler>;
  const quiet = { ...log, warn: (fields: object) => void warned.push(fields) };
  const server = await serveAdmission({ host: '127.0.0.1', port: 0, certificates, routes, log: quiet, handshakeTimeoutMs: 100 });
  after(() => server.close(100));
  const silent = Array.from({ length: 20 }, () => connect(server.port, '127.0.0.1').on('error', () => {}));
  const closed = silent.map((socket) => new Promise((resolve) => socket.on('close', resolve).resume()));
  await Promise.race([Promise.all(closed), sleep(5000).then(() => assert.fail('they are still connected'))]);
  assert.equal(warned.length, 1);
});

test('certificates are swapped under load, CA and all, and no review is lost', async () => {
  const server = await serve({});
  const stop = new AbortController();
  let answered = 0;
  const failures: unknown[] = [];
  const load = Array.from({ length: 4 }, async () => {
    while (!stop.signal.aborted) {
      await post(server, '/guard', good).then(
        ({ allowed }) => (allowed === true ? answered++ : failures.push('refused')),
        (error: unknown) => failures.push(error),
      );
    }
  });
  const before = readFileSync(join(dir, 'mounted', 'tls.crt'), 'utf8');
  const changes: string[] = [];
  const forget = certificates.onChange(() => changes.push(certificates.current.chain));
  for (const generation of ['two', 'three']) {
    // The API server is told of the next CA first; `ca` of the client is read at each connection.
    const seen = changes.length;
    cas.push(await mountLater(generation));
    for (let i = 0; i < 100 && changes.length === seen; i++) await sleep(20);
  }
  await sleep(100);
  stop.abort();
  await Promise.all(load);
  forget();
  assert.deepEqual(failures, []);
  assert.ok(answered > 20, `${answered} reviews`);
  assert.equal(changes.length, 2);
  assert.notEqual(changes.at(-1), before);
  assert.deepEqual(errors, []);
});

/** The CA is known before the pair is mounted. */
async function mountLater(generation: string): Promise<string> {
  const { ca } = await ownCertificate(join(dir, generation), [], new Date());
  cas.push(ca);
  return mount(generation);
}

test('a pair that does not fit together is left aside', async () => {
  const server = await serve({});
  const before = certificates.current.chain;
  const broken = join(dir, 'mounted', '..broken');
  mkdirSync(broken);
  for (const name of ['tls.crt', 'ca.crt']) writeFileSync(join(broken, name), readFileSync(join(dir, 'mounted', name)));
  writeFileSync(join(broken, 'tls.key'), readFileSync(join(dir, 'one', 'server.key')));
  symlinkSync('..broken', join(dir, 'mounted', '..next'));
  renameSync(join(dir, 'mounted', '..next'), join(dir, 'mounted', '..data'));
  for (let i = 0; i < 100 && errors.length === 0; i++) await sleep(20);
  assert.ok(errors.length > 0);
  assert.equal(certificates.current.chain, before);
  assert.equal((await post(server, '/guard', good)).allowed, true);
});

test('one address has so many connections and requests, and what is beyond is not read', async () => {
  const limits = { connections: 10, perAddress: 3, rate: { perSecond: 0.001, burst: 4 } };
  const routes = Object.fromEntries(WEBHOOK_PATHS.map((path): [string, Handler] => [path, () => ALLOWED])) as Record<WebhookPath, Handler>;
  const server = await serveAdmission({ host: '127.0.0.1', port: 0, certificates, routes, log, limits });
  after(() => server.close(100));
  const knocking = Array.from({ length: 6 }, () =>
    connect(server.port, '127.0.0.1')
      .on('error', () => {})
      .resume(),
  );
  await sleep(200);
  assert.equal(knocking.filter(({ destroyed, readableEnded }) => !destroyed && !readableEnded).length, 3);
  for (const socket of knocking) socket.destroy();
  await sleep(100);
  const review = JSON.stringify(reviewFor(requestFor({})));
  const answers: number[] = [];
  for (let i = 0; i < 6; i++) answers.push((await post(server, '/validate', review)).status);
  assert.deepEqual(answers, [200, 200, 200, 200, 429, 429]);
});
