import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** The control group that holds a cluster's pods. */
export function groupOf(cluster: number): string {
  return `/chaperone-e2e-${cluster}`;
}

/** Makes the control group in every hierarchy: the kubelet wants to find it. */
export async function makeGroups(name: string): Promise<void> {
  for (const place of await hierarchies()) await mkdir(join(place, name), { recursive: true });
}

/** Removes the control group, with those below, from every hierarchy. */
export async function removeGroups(name: string): Promise<void> {
  for (const place of await hierarchies()) await removeTree(join(place, name));
}

/** Bounds the memory, in bytes, of the control group of a process, whose /proc/PID/cgroup is given: to this, or to what is in use where the kernel takes no less. */
export async function limitMemory(groups: string, bytes: number): Promise<void> {
  const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n').map((line) => line.split(' '));
  const group = groups.split('\n').map((line) => line.split(':'));
  for (const [, place = '', kind, flags = ''] of mounts) {
    if (kind === 'cgroup2') {
      const path = group.find(([, controllers]) => controllers === '')?.[2];
      if (path && path !== '/') await writeFile(join(place, path, 'memory.max'), String(bytes), { flag: 'r+' }).catch(ifAbsent);
    } else if (kind === 'cgroup' && flags.split(',').includes('memory')) {
      const path = group.find(([, controllers]) => controllers?.split(',').includes('memory'))?.[2] ?? '';
      await tighten(join(place, path), bytes);
    }
  }
}

function ifAbsent(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
}

/** The first version of control groups takes no limit below what is in use: then what is in use is the limit, and the next page is too much. */
async function tighten(folder: string, bytes: number): Promise<void> {
  for (let limit = bytes, attempt = 0; ; attempt++) {
    try {
      return await writeFile(join(folder, 'memory.limit_in_bytes'), String(limit));
    } catch (error: unknown) {
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY' || attempt === 50) throw error;
    }
    limit = Number(await readFile(join(folder, 'memory.usage_in_bytes'), 'utf8')) + attempt * 4096;
  }
}

async function hierarchies(): Promise<string[]> {
  const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n').map((line) => line.split(' '));
  return mounts.flatMap(([, place, kind]) => (place && kind?.startsWith('cgroup') ? [place] : []));
}

async function removeTree(path: string): Promise<void> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) if (entry.isDirectory()) await removeTree(join(path, entry.name));
  for (let attempt = 0; ; attempt++) {
    try {
      return await rmdir(path);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'ENOENT') return;
      // The kernel takes a moment to forget the processes that were killed.
      if (code !== 'EBUSY' || attempt === 50) throw error;
      await sleep(50);
    }
  }
}
