import { readdirSync, readFileSync } from 'node:fs';

/** CPU time that the process has used until now, of all its threads, in seconds. Null where there is no /proc. */
export function cpuSeconds(pid: number | null): number | null {
  if (pid === null) return null;
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    // schedstat counts nanoseconds; utime and stime in stat count hundredths of a second.
    return (
      threads.reduce((sum, thread) => sum + Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]), 0) / 1e9
    );
  } catch {
    return null;
  }
}

/** Resident memory in MB. */
export function residentMb(pid: number | null): number | null {
  if (pid === null) return null;
  try {
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
  } catch {
    return null;
  }
}

/** The most memory that was seen between the call and that of the function it returns. */
export function watchMemory(pid: number | null): () => number | null {
  let most = residentMb(pid);
  const timer = setInterval(() => {
    const now = residentMb(pid);
    if (now !== null && (most === null || now > most)) most = now;
  }, 100);
  return () => {
    clearInterval(timer);
    return most;
  };
}
