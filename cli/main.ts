import { runCli } from './program.ts';

const shows = (stream: NodeJS.WriteStream) => stream.isTTY === true && !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb';
let stops = 0;

// A closed pipe (`chaperone sessions ls | head`) is no error.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

process.exitCode = await runCli(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  color: { stdout: shows(process.stdout), stderr: shows(process.stderr) },
  now: Date.now,
  onStop(listener) {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        stops += 1;
        // What was recorded is on disk: the next start closes the sessions that a hurried end leaves open.
        if (stops > 1) process.exit(1);
        listener();
      });
    }
  },
});
