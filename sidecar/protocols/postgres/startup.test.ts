import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { encodeStartupMessage, PROTOCOL_3_0 } from '../../wire/postgres/messages/startup.ts';
import { POLICY, resourceOn } from './testing/manifests.ts';
import { type Rig, startRig } from './testing/rig.ts';

/** Nobody listens there: whoever is let through gets another error than the one that is expected. */
const NO_SERVER = 1;
const MANIFESTS = `${resourceOn(NO_SERVER, '  agentToken: Ignore')}${POLICY}    - {name: read, action: Allow, sql: {access: Read}}
`;

const SSL = Buffer.from('0000000804d2162f', 'hex');
const GSS = Buffer.from('0000000804d21630', 'hex');
const startup = (...parameters: [string, string][]) => encodeStartupMessage(PROTOCOL_3_0, parameters);
const raw = (code: number, text: string) => {
  const body = Buffer.from(text, 'latin1');
  const packet = Buffer.alloc(8 + body.length);
  packet.writeUInt32BE(packet.length, 0);
  packet.writeUInt32BE(code, 4);
  body.copy(packet, 8);
  return packet;
};

const REFUSED: readonly (readonly [title: string, bytes: Buffer, answer: RegExp])[] = [
  ['plaintext after SSLRequest in one segment (CVE-2021-23214)', Buffer.concat([SSL, startup(['user', 'app'])]), /^E.*08P01/s],
  ['SSLRequest twice', Buffer.concat([SSL, SSL]), /08P01/],
  ['GSSENCRequest and a startup packet in one segment', Buffer.concat([GSS, startup(['user', 'app'])]), /^E.*08P01/s],
  ['protocol 2.0', raw(0x20000, 'user\0app\0\0'), /0A000/],
  ['protocol 4.0', raw(0x40000, 'user\0app\0\0'), /0A000/],
  ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'), /^(E.*08P01.*)?$/s],
  ['a packet of 10 001 bytes', raw(0x30000, `user\0app\0x\0${'y'.repeat(9990)}\0\0`), /08P01/],
  ['a length of 4 GiB', Buffer.from('ffffffff00030000', 'hex'), /08P01/],
  ['a length of 0', Buffer.from('0000000000030000', 'hex'), /08P01/],
  ['the user twice', raw(0x30000, 'user\0nobody\0user\0app\0\0'), /08P01/],
  ['no user', raw(0x30000, 'database\0shop\0\0'), /08P01|28000/],
  ['bytes after the end', raw(0x30000, 'user\0app\0\0user\0postgres\0\0'), /08P01/],
  ['no terminator', raw(0x30000, 'user\0app\0'), /08P01/],
  ['replication', startup(['user', 'app'], ['database', 'shop'], ['replication', 'database']), /42501/],
  ['a parameter that is not on the list', startup(['user', 'app'], ['database', 'shop'], ['session_preload_libraries', 'x']), /42501/],
  ['a role by options', startup(['user', 'app'], ['database', 'shop'], ['options', '-c role=postgres']), /42501/],
  [
    'standard_conforming_strings by options',
    startup(['user', 'app'], ['database', 'shop'], ['options', '-c standard_conforming_strings=off']),
    /42501/,
  ],
  ['an empty option (an endless loop elsewhere)', startup(['user', 'app'], ['database', 'shop'], ['options', '-c=']), /08P01|42501/],
  ['another encoding', startup(['user', 'app'], ['database', 'shop'], ['client_encoding', 'SJIS']), /08P01/],
  ['another user', startup(['user', 'postgres'], ['database', 'shop']), /28000/],
  ['another database', startup(['user', 'app'], ['database', 'postgres']), /3D000/],
];

describe('what comes before a session', () => {
  let rig: Rig;
  before(async () => {
    rig = await startRig(MANIFESTS, { username: 'x', password: 'x' });
  });
  after(async () => {
    await rig.stop();
    await rig.remove();
  });

  /** All that is answered until the connection closes. */
  function answerTo(bytes: Buffer): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = connect(rig.port, '127.0.0.1', () => socket.write(bytes));
      let answer = '';
      socket.on('data', (chunk: Buffer) => {
        answer += chunk.toString('latin1');
      });
      socket.on('end', () => {
        socket.destroy();
        resolve(answer);
      });
      socket.on('error', reject);
    });
  }

  for (const [title, bytes, answer] of REFUSED) {
    test(`${title} is refused`, async () => {
      assert.match(await answerTo(bytes), answer);
    });
  }

  test('what is right gets as far as the target', async () => {
    assert.match(await answerTo(startup(['user', 'app'], ['database', 'shop'])), /could not be reached/);
  });

  test('a CancelRequest with a wrong key is answered with nothing', async () => {
    assert.equal(await answerTo(Buffer.from('0000001004d2162e0000000100000002', 'hex')), '');
  });
});
