import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { returnFreedMemory } from './memory.ts';

const isGlibc = process.platform === 'linux' && readFileSync('/proc/self/maps', 'utf8').includes('/libc.so.6');

test('freed memory goes back to the system, where the C library has a call for it', { skip: !isGlibc }, async () => {
  let pieces: ArrayBuffer[] = [];
  // Too small for a mapping of their own.
  for (let i = 0; i < 20_000; i++) {
    const piece = new ArrayBuffer(8 * 1024);
    new Uint8Array(piece).fill(1);
    pieces.push(piece);
  }
  // What is behind all of them keeps the library from giving them back by itself.
  const last = new Uint8Array(64).fill(1);
  const full = process.memoryUsage.rss();
  pieces = [];
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as (options: { readonly execution: 'async' }) => Promise<void>;
  for (let i = 0; i < 3; i++) await collect({ execution: 'async' });
  returnFreedMemory();
  const now = process.memoryUsage.rss();
  assert.ok(now < full - 64 * 1024 * 1024, `${full} before, ${now} after`);
  assert.equal(pieces.length + last.length, 64);
});
