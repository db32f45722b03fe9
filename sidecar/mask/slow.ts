/** CPU time of the work that can't be interrupted, and who is told of it. Of the process: its sessions share one event loop. */
export const slow: { parseMs: number; detectorMs: number; onParse: (ms: number) => void; onDetector: (ms: number) => void } = {
  parseMs: 250,
  detectorMs: 50,
  onParse: () => {},
  onDetector: () => {},
};

/** Milliseconds that this thread has computed. What it waited for the machine does not count. */
export function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
