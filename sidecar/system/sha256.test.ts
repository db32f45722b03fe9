import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { Hasher, sha256Hex } from './sha256.ts';

for (const [name, hasher] of [
  ['where there is one', new Hasher(4096)],
  ['without it', new Hasher(4096, null)],
] as const) {
  test(`the digest is Node's, at every length, with OpenSSL's function ${name}`, () => {
    for (let length = 0; length <= 4096; length += length < 300 ? 1 : 97) {
      for (let i = 0; i < 4096; i++) hasher.bytes[i] = (i * 31 + length) & 255;
      const before = Buffer.from(hasher.bytes.subarray(0, length));
      hasher.digest(length);
      assert.equal(hasher.hex.toString('latin1'), hash('sha256', before), `${length} bytes`);
      assert.ok(hasher.bytes.subarray(0, length).equals(before));
    }
  });
}

test("the digest of a text is Node's, whatever is in it", () => {
  const text = fc.oneof(
    fc.string({ maxLength: 300 }),
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.constantFrom('\ud800', 'é\u2028', ''),
  );
  fc.assert(fc.property(text, (one) => assert.equal(sha256Hex(one), hash('sha256', one))));
  for (const length of [2729, 2730, 2731, 2732, 100_000]) {
    for (const unit of ['x', '€']) assert.equal(sha256Hex(unit.repeat(length)), hash('sha256', unit.repeat(length)));
  }
});
