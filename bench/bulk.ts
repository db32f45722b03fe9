import type { Socket } from 'node:net';
import { Client } from 'pg';
import { cpuSeconds, watchMemory } from './process.ts';
import type { Target } from './targets.ts';

export interface BulkSample {
  readonly rows: number;
  readonly megabytesPerSecond: number;
  readonly rowsPerSecond: number;
  /** CPU of the proxy, in milliseconds a megabyte. */
  readonly cpuMsPerMb: number | null;
  readonly memoryMb: number | null;
}

/** Reads the rows with a client that only walks the frames, so that what is measured is not the client. */
export async function readBulk(target: Target, sql: string): Promise<BulkSample> {
  const client = new Client({
    host: '127.0.0.1',
    port: target.port,
    user: target.user,
    password: target.password,
    database: target.database,
  });
  await client.connect();
  const socket = socketOf(client);
  for (const event of ['data', 'end', 'close', 'error']) socket.removeAllListeners(event);
  const cpuBefore = cpuSeconds(target.pid);
  const memory = watchMemory(target.pid);
  const started = performance.now();
  const { rows, bytes } = await query(socket, sql);
  const seconds = (performance.now() - started) / 1000;
  const memoryMb = memory();
  const cpuAfter = cpuSeconds(target.pid);
  socket.destroy();
  const megabytes = bytes / 1e6;
  return {
    rows,
    megabytesPerSecond: megabytes / seconds,
    rowsPerSecond: rows / seconds,
    cpuMsPerMb: cpuBefore === null || cpuAfter === null ? null : ((cpuAfter - cpuBefore) * 1000) / megabytes,
    memoryMb,
  };
}

/** The logged-in socket under a client of node-postgres, which has no public name. */
function socketOf(client: Client): Socket {
  return (client as unknown as { connection: { stream: Socket } }).connection.stream;
}

function query(socket: Socket, sql: string): Promise<{ rows: number; bytes: number }> {
  const text = Buffer.from(`${sql}\0`);
  const frame = Buffer.concat([Buffer.from('Q'), Buffer.alloc(4), text]);
  frame.writeUInt32BE(text.length + 4, 1);
  return new Promise((resolve, reject) => {
    const walk = walker();
    let bytes = 0;
    socket.on('error', reject).on('close', () => reject(new Error('the connection was closed in the middle of the result')));
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      const { rows, ready, failed } = walk(chunk);
      if (failed) reject(new Error(`the query failed: ${chunk.toString('latin1').replace(/[^ -~]+/g, ' ')}`));
      else if (ready) resolve({ rows, bytes });
    });
    socket.write(frame);
  });
}

/** Counts DataRow messages over chunks that are cut anywhere. */
export function walker(): (chunk: Buffer) => { rows: number; ready: boolean; failed: boolean } {
  let rest: Buffer = Buffer.alloc(0);
  let skip = 0;
  const seen = { rows: 0, ready: false, failed: false };
  return (chunk) => {
    let at = Math.min(skip, chunk.length);
    skip -= at;
    const bytes = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
    if (rest.length > 0) at = 0;
    for (; skip === 0 && bytes.length - at >= 5; ) {
      const type = bytes[at];
      if (type === 0x44) seen.rows++;
      if (type === 0x45) seen.failed = true;
      if (type === 0x5a) seen.ready = true;
      const end = at + 1 + bytes.readUInt32BE(at + 1);
      skip = Math.max(0, end - bytes.length);
      at = Math.min(end, bytes.length);
    }
    rest = skip === 0 ? bytes.subarray(at) : Buffer.alloc(0);
    return seen;
  };
}
