/**
 * How long processes of the pods wanted to run and the machine had no processor for them, as the kernel counts it (/proc/PID/schedstat). A test that
 * holds the product to a time adds that to what it allows: on an idle machine it is nothing, and on a busy one it is no more than what was missing.
 */
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { groupOf } from './cgroups.ts';
import { clusterNumber } from './config.ts';

export interface Starved {
  /** Between two times of the machine's clock; of the programs one after the other, of the processes of a program the longest. */
  betweenMs(from: number, until: number): number;
  stop(): Promise<void>;
}

const EVERY_MS = 25;

/** `programs`: words in the command line, `operator.js`. Only on our own cluster: elsewhere the processes can't be seen. */
export async function watchStarved(programs: readonly string[]): Promise<Starved> {
  const found = await Promise.all(programs.map(processesOf));
  for (const [i, pids] of found.entries()) if (pids.length === 0) throw new Error(`no process of ${programs[i]} in the cluster's pods`);
  const samples: { readonly at: number; readonly waitedMs: readonly (readonly number[])[] }[] = [];
  const stopping = new AbortController();
  const sampling = (async () => {
    for (; !stopping.signal.aborted; await sleep(EVERY_MS)) {
      const waitedMs = await Promise.all(found.map((pids) => Promise.all(pids.map(waitedBy))));
      samples.push({ at: Date.now(), waitedMs });
    }
  })();
  return {
    betweenMs(from, until) {
      const first = samples.findLast(({ at }) => at <= from) ?? samples[0];
      const last = samples.find(({ at }) => at >= until) ?? samples.at(-1);
      if (first === undefined || last === undefined) return 0;
      const waited = found.map((pids, program) =>
        Math.max(...pids.map((_, i) => (last.waitedMs[program]?.[i] ?? 0) - (first.waitedMs[program]?.[i] ?? 0))),
      );
      return waited.reduce((sum, ms) => sum + ms, 0);
    },
    async stop() {
      stopping.abort();
      await sampling;
    },
  };
}

/** How long these processes together have wanted to run and could not, since they began. To be subtracted from a later answer. */
export async function starvedMs(...pids: readonly (number | undefined)[]): Promise<number> {
  return (await Promise.all(pids.map((pid) => waitedBy(String(pid))))).reduce((sum, ms) => sum + ms, 0);
}

async function processesOf(program: string): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const ours = await Promise.all(
    pids.map(async (pid) => {
      const [command, groups] = await Promise.all(
        ['cmdline', 'cgroup'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')),
      );
      return (command?.includes(program) && groups?.includes(`${groupOf(clusterNumber())}/`)) || false;
    }),
  );
  return pids.filter((_, i) => ours[i]);
}

/** By its first thread, where a Node's JavaScript runs. */
async function waitedBy(pid: string): Promise<number> {
  const [, waitedNs = '0'] = (await readFile(`/proc/${pid}/schedstat`, 'utf8').catch(() => '')).split(' ');
  return Number(waitedNs) / 1e6;
}
