import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { isIP } from 'node:net';

const [A, AAAA, NXDOMAIN, SERVFAIL] = [1, 28, 3, 2] as const;

/** A resolver on loopback (RFC 1035) that knows these names; `fail` stands for a server that can't say. What it was asked is kept. */
export async function startResolver(names: Map<string, readonly string[] | 'fail'>) {
  const socket = createSocket('udp4');
  const asked: string[] = [];
  socket.on('message', (query, from) => {
    const { name, end } = readName(query);
    const type = query.readUInt16BE(end);
    if (type === A) asked.push(name);
    const known = names.get(name);
    const records = (known === undefined || known === 'fail' ? [] : known).filter((ip) => isIP(ip) === (type === A ? 4 : 6));
    const code = known === 'fail' ? SERVFAIL : known === undefined ? NXDOMAIN : 0;
    const head = Buffer.from([...query.subarray(0, 2), 0x81, 0x80 | code, 0, 1, 0, records.length, 0, 0, 0, 0]);
    const answers = records.map((ip) =>
      Buffer.concat([Buffer.from([0xc0, 12, 0, type === A ? A : AAAA, 0, 1, 0, 0, 0, 0, 0, type === A ? 4 : 16]), bytesOf(ip)]),
    );
    socket.send(Buffer.concat([head, query.subarray(12, end + 4), ...answers]), from.port, from.address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return { server: `127.0.0.1:${socket.address().port}`, asked, close: () => socket.close() };
}

function readName(query: Buffer): { readonly name: string; readonly end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.').toLowerCase(), end: at + 1 };
}

function bytesOf(ip: string): Buffer {
  if (isIP(ip) === 4) return Buffer.from(ip.split('.').map(Number));
  const [head = '', tail = ''] = ip.split('::');
  const groups = (text: string) => (text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16)));
  const zeros = Array.from({ length: 8 - groups(head).length - groups(tail).length }, () => 0);
  return Buffer.from([...groups(head), ...zeros, ...groups(tail)].flatMap((group) => [group >> 8, group & 255]));
}
