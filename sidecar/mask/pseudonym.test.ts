import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import type { SnapshotPseudonym } from '#crds/policy/snapshot.ts';
import type { CredentialStore, Log } from '../pipeline.ts';
import { compileDetectors } from './detect.ts';
import { findCards, luhn } from './detect-card.ts';
import { findIbans } from './detect-iban.ts';
import { MIN_KEY_BYTES, MIN_TOKEN_LENGTH, Pseudonymiser, pseudonymKey, TOKEN_LENGTH } from './pseudonym.ts';
import { RecentCache } from './pseudonym-cache.ts';
import { withLuhn } from './pseudonym-format.ts';
import { pseudonymsOf } from './pseudonym-keys.ts';

const keyOf = (bytes: Buffer) => pseudonymKey(bytes) ?? assert.fail('the key is not fit');
const key = keyOf(Buffer.from('0123456789abcdefghijklmnopqrstuvwxyz'));
const token = new Pseudonymiser(key, { type: 'Token', domain: 'd' });
const format = new Pseudonymiser(key, { type: 'FormatPreserving', domain: 'd' });

test('a token is deterministic, bounded, and another one with another key, domain or strategy', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (value) => {
      const made = token.text(value) ?? assert.fail();
      assert.match(made, /^tok_[a-z2-7]{26}$/);
      assert.equal(made.length, TOKEN_LENGTH);
      assert.equal(new Pseudonymiser(key, { type: 'Token', domain: 'd' }).text(value), made);
      assert.notEqual(new Pseudonymiser(key, { type: 'Token', domain: 'e' }).text(value), made);
      assert.notEqual(new Pseudonymiser(keyOf(randomBytes(32)), { type: 'Token', domain: 'd' }).text(value), made);
      assert.notEqual(token.text(`${value}x`), made);
      assert.equal(token.text(value, 20), made.slice(0, 20));
      assert.equal(token.text(value, MIN_TOKEN_LENGTH - 1), null);
    }),
  );
});

test('the domain can not be moved into the value', () => {
  const other = new Pseudonymiser(key, { type: 'Token', domain: 'd\nx' });
  assert.notEqual(other.text('y'), token.text('x\ny'));
});

const classOf = (text: string) =>
  [...text].map((c) => (/[0-9]/.test(c) ? '9' : /[A-Z]/.test(c) ? 'A' : /[a-z]/.test(c) ? 'a' : c)).join('');

test('a value of the same form keeps its length, its signs and the class of each character, and is never the value', () => {
  const ascii = fc.string({ unit: 'grapheme-ascii', minLength: 4, maxLength: 64 }).filter((value) => !/@/.test(value));
  fc.assert(
    fc.property(ascii, (value) => {
      const made = format.text(value);
      if (made === null) return assert.ok(value.replace(/[^0-9A-Za-z]/g, '').length < 4);
      assert.equal(classOf(made), classOf(value));
      assert.notEqual(made, value);
      assert.equal(new Pseudonymiser(key, { type: 'FormatPreserving', domain: 'd' }).text(value), made);
    }),
  );
});

test('no character past ASCII stays', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', minLength: 4, maxLength: 64 }), (value) => {
      const made = format.text(value);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII is meant
      if (made !== null) assert.match(made, /^[\0-\x7f]*$/);
    }),
  );
});

test('a card keeps its length, its separators and a right Luhn digit, and is nobody’s', () => {
  const digits = fc.array(fc.nat(9), { minLength: 12, maxLength: 18 }).map((list) => list.join(''));
  const card = fc
    .tuple(fc.constantFrom('2', '3', '4', '5', '6'), digits, fc.constantFrom('', ' ', '-'))
    .map(([first, rest, separator]) => withLuhn(first + rest).replace(/(\d{4})(?=\d)/g, `$1${separator}`));
  fc.assert(
    fc.property(card, (value) => {
      assert.ok(luhn(value, 0, value.length));
      const made = format.text(value) ?? assert.fail();
      assert.equal(classOf(made), classOf(value));
      assert.ok(luhn(made, 0, made.length), made);
      assert.equal(made[0], '9');
      findCards(made, (start) => assert.notEqual(start, 0));
    }),
  );
});

test('an e-mail address keeps the lengths of its parts, and goes nowhere', () => {
  for (const value of ['ada.lovelace+x@mail.example.com', 'a1b2@x.de', '"john doe"@corp.example', 'jürgen@müller.de']) {
    const made = format.text(value) ?? assert.fail(value);
    const lengths = (text: string) => text.split(/[@.+]/).map((part) => part.length);
    assert.deepEqual(lengths(made), lengths(value));
    assert.match(made, /\.z+$/);
    assert.notEqual(made.split('@')[0], value.split('@')[0]);
  }
});

test('an IBAN keeps its country and its groups, and has right check digits', () => {
  for (const value of ['DE89370400440532013000', 'GB29 NWBK 6016 1331 9268 19', 'de89-3704-0044-0532-0130-00']) {
    const made = format.text(value) ?? assert.fail(value);
    assert.equal(made.slice(0, 2), value.slice(0, 2));
    assert.equal(classOf(made), classOf(value));
    let found = '';
    findIbans(made, (start, end) => {
      found = made.slice(start, end);
    });
    assert.equal(found, made);
  }
});

test('an SSN becomes one of nobody', () => {
  assert.match(format.text('078-05-1120') ?? '', /^9\d\d-\d\d-\d{4}$/);
});

test('what is so short or so long that its form tells it has no form to keep', () => {
  for (const value of ['', 'abc', '--', '7', 'a-b-c', 'x'.repeat(257), '¿¿¿¿']) assert.equal(format.text(value), null, value);
});

test('a key is random and long enough, with or without a line end behind it', () => {
  const bytes = Buffer.concat([randomBytes(31), Buffer.from('x')]);
  const text = (one: Buffer) => new Pseudonymiser(keyOf(one), { type: 'Token', domain: 'd' }).text('v');
  assert.equal(text(Buffer.concat([bytes, Buffer.from('\n')])), text(bytes));
  assert.equal(text(Buffer.concat([bytes, Buffer.from('\r\n')])), text(bytes));
  for (const end of ['\n', '\r\n'])
    assert.notEqual(pseudonymKey(Buffer.concat([randomBytes(MIN_KEY_BYTES - end.length), Buffer.from(end)])), null);
  for (const bad of [Buffer.alloc(0), bytes.subarray(1), Buffer.alloc(64, 'ab'), Buffer.alloc(MIN_KEY_BYTES)])
    assert.equal(pseudonymKey(bad), null);
});

const strategy: SnapshotPseudonym = { type: 'Token', keySecret: { name: 'masking', key: 'key' }, domain: 'd' };

test('keys are looked up with each result: one that is missing or unfit gives none and is logged once, a new one counts at once', () => {
  let value: Buffer | null = null;
  const logged: string[] = [];
  const log: Log = { info: () => {}, error: () => {}, warn: (fields, message) => void logged.push(`${JSON.stringify(fields)} ${message}`) };
  const credentials: CredentialStore = {
    get(namespace, name, key) {
      assert.deepEqual([namespace, name, key], ['shop', 'masking', 'key']);
      if (value === null) throw new Error('no such Secret');
      return Buffer.from(value);
    },
  };
  const pseudonyms = pseudonymsOf(credentials, 'shop', log);
  assert.equal(pseudonyms(strategy), null);
  assert.equal(pseudonyms(strategy), null);
  assert.equal(logged.length, 1);
  value = Buffer.from('short');
  assert.equal(pseudonyms(strategy), null);
  assert.equal(logged.length, 2);
  assert.doesNotMatch(logged.join(), /short(?!er)/);
  value = randomBytes(32);
  const first = pseudonyms(strategy);
  assert.ok(first !== null && first === pseudonyms(strategy) && first === pseudonymsOf(credentials, 'shop', log)(strategy));
  assert.notEqual(pseudonyms({ ...strategy, domain: 'e' }), first);
  value = randomBytes(32);
  assert.notEqual(pseudonyms(strategy)?.text('v'), first.text('v'));
  value = null;
  assert.equal(pseudonyms(strategy), null);
  assert.equal(logged.length, 3);
});

test('detectors put pseudonyms in place of what they find, and the placeholder without a key', () => {
  const author = { kind: 'MaskingRule', namespace: 'shop', name: 'm', generation: 1, rule: 'r' } as const;
  const specs = [
    { type: 'Email', name: 'mail', strategy, author },
    { type: 'Card', name: 'card', strategy: { ...strategy, type: 'FormatPreserving' }, author },
  ] as const;
  const text = 'pay 4111 1111 1111 1111 of ada@x.example';
  const made = compileDetectors(specs, (one) => new Pseudonymiser(key, one)).mask(text).text;
  assert.match(made, /^pay 9\d{3} \d{4} \d{4} \d{4} of tok_[a-z2-7]{26}$/);
  assert.equal(compileDetectors(specs).mask(text).text, 'pay [redacted] of [redacted]');
});

test('the cache is bounded and forgets what was not asked for', () => {
  const cache = new RecentCache<number>(10);
  cache.set('kept', 1);
  for (let i = 0; i < 1000; i++) {
    cache.set(`k${i}`, i);
    assert.equal(cache.get('kept'), 1);
    assert.ok(cache.size <= 20);
  }
  assert.equal(cache.get('k1'), undefined);
  assert.equal(cache.get('k999'), 999);
});
