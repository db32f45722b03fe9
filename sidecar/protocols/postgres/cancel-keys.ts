import { createHash, randomBytes, randomInt } from 'node:crypto';

/** Backend keys that agents were given, so that a CancelRequest reaches its own session and no other. */
export class CancelKeys {
  readonly #sessions = new Map<string, () => void>();

  /** Makes a key of our own for a session. `cancel` is called when a CancelRequest names it. */
  issue(secretBytes: 4 | 32, cancel: () => void): { readonly pid: number; readonly secret: Buffer; readonly revoke: () => void } {
    for (;;) {
      const pid = randomInt(1, 0x7fff_ffff);
      const secret = randomBytes(secretBytes);
      const key = keyOf(pid, secret);
      if (this.#sessions.has(key)) continue;
      this.#sessions.set(key, cancel);
      return { pid, secret, revoke: () => this.#sessions.delete(key) };
    }
  }

  cancel(pid: number, secret: Buffer): void {
    this.#sessions.get(keyOf(pid, secret))?.();
  }
}

/** Hashed, so that looking a key up takes no time that depends on how much of a guess was right. */
function keyOf(pid: number, secret: Buffer): string {
  return createHash('sha256').update(`${pid}:`).update(secret).digest('base64');
}
