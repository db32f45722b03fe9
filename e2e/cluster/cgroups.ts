import { mkdir, readdir, readFile, rmdir } from 'node:fs/promises';
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
