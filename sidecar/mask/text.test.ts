import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compileDetectors } from './detect.ts';
import { createTextMasker } from './text.ts';

const author = { kind: 'MaskingRule', namespace: 'shop', name: 'data', generation: 1, rule: 'x' } as const;
const detectors = compileDetectors([
  { type: 'Card', name: 'card', strategy: { type: 'Redact' }, author },
  { type: 'Email', name: 'email', strategy: { type: 'Redact' }, author },
  { type: 'PrivateKey', name: 'key', strategy: { type: 'Redact' }, author },
]);

test('a line comes out with the piece that ends it, and unchanged pieces are the same bytes', () => {
  const masker = createTextMasker(detectors);
  const clean = Buffer.from('1\tAda\n');
  assert.equal(masker.push(clean).equals(clean), true);
  assert.equal(masker.push(Buffer.from('2\tada@example.com\n')).toString(), '2\t[redacted]\n');
  assert.equal(masker.push(Buffer.from('3\tadal@exam')).length, 0);
  assert.equal(masker.push(Buffer.from('ple.com\n4')).toString(), '3\t[redacted]\n');
  assert.equal(masker.end().toString(), '4');
  assert.equal(masker.maskedValues, 2);
});

test('however a stream is cut, what comes out is the same', () => {
  const values = ['4111111111111111', 'ada@example.com', 'plain', 'ünïcode', '12345'];
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(...values, '\t', '\n', ' '), { maxLength: 30 }),
      fc.array(fc.nat(40), { maxLength: 40 }),
      (parts, cuts) => {
        const all = Buffer.from(parts.join(','));
        const expected = all
          .toString()
          .split('\n')
          .map((line) => detectors.mask(line).text)
          .join('\n');
        const masker = createTextMasker(detectors);
        const out: Buffer[] = [];
        let at = 0;
        for (const cut of cuts) {
          out.push(masker.push(all.subarray(at, at + cut)));
          at = Math.min(all.length, at + cut);
        }
        out.push(masker.push(all.subarray(at)), masker.end());
        assert.equal(Buffer.concat(out).toString(), expected);
      },
    ),
  );
});

test('a line without an end is given out in parts and cuts no value in two', () => {
  const limits = { maxHeldBytes: 256, overlapBytes: 64 };
  const masker = createTextMasker(detectors, limits);
  const text = `${'x'.repeat(37)} ada@example.com;`.repeat(200);
  const out: Buffer[] = [];
  for (let at = 0; at < text.length; at += 13) out.push(masker.push(Buffer.from(text.slice(at, at + 13))));
  out.push(masker.end());
  assert.equal(Buffer.concat(out).toString(), text.replaceAll('ada@example.com', '[redacted]'));
  assert.equal(masker.maskedValues, 200);
});

test('a value that never ends is not held for ever', () => {
  const masker = createTextMasker(detectors, { maxHeldBytes: 256, overlapBytes: 64 });
  const out = masker.push(Buffer.from(`-----BEGIN PRIVATE KEY-----${'A'.repeat(1000)}`)).toString();
  assert.equal(out, '[redacted]');
});
