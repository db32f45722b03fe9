import { mkdir, open, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startTimeOf } from './processes.ts';

/** Runs `work` while no other process of this machine holds the file. A holder that died without letting go is passed over. */
export async function withLock<T>(path: string, what: string, work: () => Promise<T>): Promise<T> {
  await mkdir(dirname(path), { recursive: true });
  for (let told = false; !(await take(path)); told = true) {
    if (!told) process.stderr.write(`e2e/cluster: waiting for ${what} (${path})\n`);
    await sleep(250);
  }
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
  }
}

async function take(path: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx');
    await file.writeFile(`${process.pid} ${startTimeOf(process.pid)}`);
    await file.close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const [pid, started] = (await readFile(path, 'utf8').catch(() => '')).split(' ');
  // An empty file is one whose holder is about to write its name.
  if (pid && startTimeOf(Number(pid)) !== started) await rm(path, { force: true });
  return false;
}
