import { chmodSync, lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import type { Server } from 'node:net';
import { connect } from 'node:net';
import { dirname } from 'node:path';

/** sun_path holds 108 bytes on Linux and 104 on macOS, its NUL included; room is left for neither to be reached. */
export const MAX_SOCKET_PATH_BYTES = 100;

/** The admin socket can't be had. The message says what to do. */
export class SocketError extends Error {
  override readonly name = 'SocketError';
}

/** Listens at `path`, mode 0600 in a folder of mode 0700. A socket that a dead process left behind is replaced; one that answers is not. */
export async function listenOnSocket(server: Server, path: string): Promise<void> {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
    throw new SocketError(`${path} is too long for a unix socket (over ${MAX_SOCKET_PATH_BYTES} bytes): choose a shorter --state folder`);
  }
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  chmodSync(dirname(path), 0o700);
  await removeStale(path);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(new SocketError(`${path}: ${codeOf(error)}`)));
    server.listen(path, () => resolve());
  });
  chmodSync(path, 0o600);
}

async function removeStale(path: string): Promise<void> {
  let isSocket: boolean;
  try {
    isSocket = lstatSync(path).isSocket();
  } catch {
    return;
  }
  if (!isSocket) throw new SocketError(`${path} exists and is not a socket`);
  if (await answers(path)) throw new SocketError(`another chaperone runs with this state folder (${path} answers)`);
  unlinkSync(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}

const codeOf = (error: Error) => ('code' in error && typeof error.code === 'string' ? error.code : 'can not listen');
