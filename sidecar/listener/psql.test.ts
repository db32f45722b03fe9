import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import type { Connection, Log } from '#sidecar/pipeline.ts';
import { NodeStream } from '#sidecar/transport/node.ts';
import { FrameReader } from '#sidecar/wire/postgres/frame.ts';
import { encodeAuthenticationOk } from '#sidecar/wire/postgres/messages/authentication.ts';
import { encodeCommandComplete } from '#sidecar/wire/postgres/messages/command_complete.ts';
import { encodeDataRow } from '#sidecar/wire/postgres/messages/data_row.ts';
import { decodeQuery } from '#sidecar/wire/postgres/messages/query.ts';
import { encodeReadyForQuery } from '#sidecar/wire/postgres/messages/ready_for_query.ts';
import { encodeRowDescription, textColumn } from '#sidecar/wire/postgres/messages/row_description.ts';
import { decodeStartupPacket } from '#sidecar/wire/postgres/messages/startup.ts';
import { type GeneratedCertificate, ownCertificate } from './certificate.ts';
import { type Listener, listen } from './listen.ts';
import { type StartTls, startTlsWith } from './tls.ts';

/** The real client against the own certificate: libpq and OpenSSL have their own mind about what verify-full takes. */
const PSQL = '/usr/bin/psql';
const log: Log = { info() {}, warn() {}, error() {} };

/** Answers each query with its own text. */
function answer(stream: NodeStream, reader: FrameReader): void {
  for (let frame = reader.next(); frame; frame = reader.next()) {
    if (frame.type === 0) {
      reader.enter('session');
      stream.write(Buffer.concat([encodeAuthenticationOk(), encodeReadyForQuery('I')]));
    } else if (frame.type === 0x51) {
      const { text } = decodeQuery(frame.buffer, frame.start, frame.end);
      const rows = [encodeRowDescription([textColumn('text')]), encodeDataRow([Buffer.from(text)]), encodeCommandComplete('SELECT 1')];
      stream.write(Buffer.concat([...rows, encodeReadyForQuery('I')]));
    } else stream.end();
  }
}

function serveWith(startTls: StartTls): (connection: Connection) => Promise<void> {
  return ({ stream }) =>
    new Promise((resolve) => {
      const plain = new NodeStream(stream);
      const reader = new FrameReader();
      const talk = (secure: NodeStream): void =>
        secure.start({
          data: (chunk) => {
            reader.push(Buffer.from(chunk));
            answer(secure, reader);
          },
          drained() {},
          ended: () => secure.end(),
          closed: () => resolve(),
        });
      const onRequest = (chunk: Buffer): void => {
        assert.equal(decodeStartupPacket(chunk, 0, chunk.length).type, 'SSLRequest');
        plain.write(Buffer.from('S'));
        startTls.inBand(plain.detach()).then(
          (secure) => talk(new NodeStream(secure)),
          () => resolve(),
        );
      };
      plain.start({ data: onRequest, drained() {}, ended: () => plain.end(), closed: () => resolve() });
    });
}

describe('psql with sslmode=verify-full', { skip: !existsSync(PSQL) && 'no psql here' }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'chaperone-psql-'));
  let listener: Listener;
  let own: GeneratedCertificate;
  before(async () => {
    own = await ownCertificate(directory, ['proxy.example'], new Date());
    listener = await listen({
      host: '127.0.0.1',
      port: 0,
      workload: { namespace: 'shop', serviceAccount: 'agent' },
      resource: { namespace: 'shop', name: 'orders' },
      log,
      serve: serveWith(startTlsWith(own)),
    });
  });
  after(async () => {
    await listener.close();
    rmSync(directory, { recursive: true });
  });

  const psql = (settings: string): Promise<{ stdout: string }> =>
    promisify(execFile)(PSQL, ['-qAtX', '-c', 'SELECT 42', `user=app dbname=shop hostaddr=127.0.0.1 port=${listener.port} ${settings}`], {
      env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
    });

  for (const host of ['localhost', '127.0.0.1', 'proxy.example']) {
    test(`as ${host}`, async () => {
      const { stdout } = await psql(`host=${host} sslmode=verify-full sslrootcert=${own.caFile}`);
      assert.equal(stdout, 'SELECT 42\n');
    });
  }

  test('refuses a name that is not in the certificate, and a CA that is not ours', async () => {
    await assert.rejects(psql(`host=other.example sslmode=verify-full sslrootcert=${own.caFile}`), /does not match host name/);
    await assert.rejects(psql('host=localhost sslmode=verify-full sslrootcert=/etc/ssl/certs/ca-certificates.crt'), /certificate/);
  });
});
