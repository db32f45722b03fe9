/**
 * Whether the chunk that is being lent out has to be let go of. Reading is synchronous, so one note for the process does: within a
 * `data` call every ByteStream's `write` that could not hand all bytes over at once says so here, and the reader then takes a new buffer.
 */
let lending = false;
let queued = false;

/** Runs `call`; true where bytes that were written in it are still waiting somewhere. */
export function lend(call: () => void): boolean {
  const outerLending = lending;
  const outerQueued = queued;
  lending = true;
  queued = false;
  try {
    call();
    return queued;
  } finally {
    lending = outerLending;
    // What an inner call has queued may be of the outer chunk.
    queued = outerQueued || queued;
  }
}

export function noteQueued(): void {
  if (lending) queued = true;
}
