/** How the validator knows that it speaks with the sidecar: a connection to an address that nobody has is answered all the same. */
import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Destination } from './original-destination.ts';

/** RFC 5737 and RFC 3849: for documentation, routed nowhere. The port is `discard`. */
export const PROBE = { v4: '192.0.2.1', v6: '2001:db8::1', port: 9 } as const;
export const NONCE_BYTES = 16;
const TIMEOUT_MS = 2_000;

export function isProbe({ ip, port }: Destination): boolean {
  return port === PROBE.port && (ip === PROBE.v4 || ip === PROBE.v6);
}

export function probeAnswer(nonce: Uint8Array): Buffer {
  return createHash('sha256').update('chaperone redirect ').update(nonce).digest();
}

export function answerProbe(socket: Socket): void {
  const timer = setTimeout(() => socket.destroy(), TIMEOUT_MS);
  socket.on('close', () => clearTimeout(timer));
  const read = (): void => {
    const nonce = socket.read(NONCE_BYTES) as Buffer | null;
    if (nonce === null) return;
    socket.off('readable', read);
    socket.end(probeAnswer(nonce));
    socket.resume();
  };
  socket.on('readable', read);
}
