import { runClient } from '#e2e/clients/programs.ts';
import { cpuSeconds, watchMemory } from './process.ts';
import type { Target } from './targets.ts';

export interface Load {
  readonly protocol: 'simple' | 'prepared';
  readonly clients: number;
  readonly seconds: number;
}

export interface Sample {
  /** Transactions a second, without the time to connect. */
  readonly tps: number;
  readonly latencyMs: number;
  /** CPU of the proxy, in microseconds a query. */
  readonly cpuUs: number | null;
  readonly memoryMb: number | null;
}

/**
 * `pgbench -S`: one SELECT by primary key a transaction. Without TLS on any way: asked by libpq's default, ours would serve it and the
 * others would not, and what is compared is what stands behind the socket.
 */
export async function runPgbench(target: Target, load: Load): Promise<Sample> {
  const threads = Math.min(load.clients, 2);
  const args = [
    '-S',
    '-n',
    '-M',
    load.protocol,
    '-c',
    String(load.clients),
    '-j',
    String(threads),
    '-T',
    String(load.seconds),
    `dbname=${target.database} sslmode=disable`,
  ];
  const before = cpuSeconds(target.pid);
  const memory = watchMemory(target.pid);
  const { code, stdout, stderr } = await runClient('pgbench', args, { ...target, host: '127.0.0.1' });
  const memoryMb = memory();
  const after = cpuSeconds(target.pid);
  if (code !== 0) throw new Error(`pgbench through ${target.name}: ${stderr.slice(-800)}`);
  const queries = number(stdout, /actually processed: (\d+)/);
  return {
    tps: number(stdout, /^tps = ([\d.]+) \(without/m),
    latencyMs: number(stdout, /^latency average = ([\d.]+) ms/m),
    cpuUs: before === null || after === null ? null : ((after - before) / queries) * 1e6,
    memoryMb,
  };
}

function number(text: string, pattern: RegExp): number {
  const found = Number(pattern.exec(text)?.[1]);
  if (Number.isNaN(found)) throw new Error(`pgbench said: ${text}`);
  return found;
}
