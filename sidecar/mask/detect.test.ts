import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DETECTOR_TYPES, type DetectorType, type SnapshotStrategy } from '#crds/policy/snapshot.ts';
import { compileDetectors, type Detectors } from './detect.ts';
import { findCards } from './detect-card.ts';
import { findEmails } from './detect-email.ts';
import { findIbans } from './detect-iban.ts';
import { findCloudKeys, findJwts, findPrivateKeys } from './detect-keys.ts';
import { findPhones, findSsns } from './detect-numbers.ts';
import { slow } from './slow.ts';

const AUTHOR = { kind: 'MaskingRule', namespace: 'shop', name: 'data', generation: 1, rule: 'x' } as const;
const REDACT: SnapshotStrategy = { type: 'Redact' };

function detectors(...types: DetectorType[]): Detectors {
  return compileDetectors(types.map((type) => ({ type, name: type.toLowerCase(), strategy: REDACT, author: AUTHOR })));
}
const BUILT_IN = DETECTOR_TYPES.filter((type) => type !== 'Custom');
const all = detectors(...BUILT_IN);

const letters = (count: number): string => 'Ab1'.repeat(count).slice(0, count);
const HITS: readonly (readonly [DetectorType, string, string])[] = [
  ['Card', '4111111111111111', '#'],
  ['Card', 'card 4111 1111 1111 1111, exp 12/27', 'card #, exp 12/27'],
  ['Card', '5500-0055-5555-5559', '#'],
  ['Card', '3714 496353 98431', '#'],
  ['Card', 'x4111111111111111y', 'x#y'],
  ['Card', '2026-11-21 4111 1111 1111 1111', '2026-11-21 #'],
  ['Card', '43 4111 1111 1111 1111', '43 #'],
  ['Card', '4111\\-1111\\-1111\\-1111', '#'],
  ['Card', '4111111111111111\t5500005555555559', '#\t#'],
  ['Email', 'ada@example.com', '#'],
  ['Email', 'to <ada.l+x@mail.example.co.uk>.', 'to <#>.'],
  ['Email', 'ada@example.com,bob@example.org', '#,#'],
  ['Email', '"ada lovelace"@example.com', '#'],
  ['Email', 'ada\\@example.com', '#'],
  ['Email', 'jürgen@müller.example', '#'],
  ['Email', 'a@b@example.com', 'a@#'],
  ['Email', '{"mail":"ada\\u0040example.com","n":1}', '{"mail":"#","n":1}'],
  ['Email', '{"mail":"\\u0061da\\\\u0040example.com"}', '{"mail":"#"}'],
  ['Email', '/find?by=ada%40example.com&n=1', '/find?by=ada%40example.com&n=1'.replace('/find?by=ada%40example.com', '#')],
  ['Email', 'mailto ada&#64;example.com', 'mailto #'],
  ['Email', 'mailto ada&#x40;example&#46;com', 'mailto #'],
  ['Card', '\\u0034111\\u00201111 1111 1111', '#'],
  ['Card', '4111%201111%201111%201111', '#'],
  ['SSN', '078&#45;05&#45;1120', '#'],
  ['CloudKey', '%41KIAIOSFODNN7EXAMPLE', '#'],
  ['IBAN', 'DE89370400440532013000', '#'],
  ['IBAN', 'iban GB29 NWBK 6016 1331 9268 19.', 'iban #.'],
  ['IBAN', 'de89370400440532013000', '#'],
  ['SSN', '078-05-1120', '#'],
  ['SSN', 'ssn=078 05 1120;', 'ssn=#;'],
  ['SSN', '078\\-05\\-1120', '#'],
  ['Phone', '+49 30 901820', '#'],
  ['Phone', 'call (202) 555-0123 now', 'call # now'],
  ['Phone', '202-555-0123', '#'],
  ['Phone', '202.555.0123', '#'],
  ['JWT', `Bearer eyJhbGciOiJub25lIn0.${letters(20)}.`, 'Bearer #'],
  ['JWT', `eyJhbGciOiJSUzI1NiJ9.${letters(20)}.${letters(43)}`, '#'],
  ['JWT', `eyJhbGciOiJkaXIifQ..${letters(16)}.${letters(20)}.${letters(22)}`, '#'],
  ['CloudKey', `id ${'AKIA'}IOSFODNN7EXAMPLE`, 'id #'],
  ['CloudKey', `aws_secret_access_key = ${letters(40)}`, 'aws_secret_access_key = #'],
  ['CloudKey', `ghp_${letters(36)}`, '#'],
  ['CloudKey', `xoxb-${letters(24)}`, '#'],
  ['CloudKey', `AIza${letters(35)}`, '#'],
  ['CloudKey', `${letters(3)}8Q~${letters(34)}`, '#'],
  ['PrivateKey', '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\nrest', '#\nrest'],
  ['PrivateKey', '-----BEGIN OPENSSH PRIVATE KEY-----\\nAAAA\\n-----END OPENSSH PRIVATE KEY-----', '#'],
  ['PrivateKey', 'a -----BEGIN RSA PRIVATE KEY-----\ncut off', 'a #'],
];

for (const [type, text, expected] of HITS) {
  test(`${type} is found in ${JSON.stringify(text.slice(0, 50))}`, () => {
    const one = detectors(type);
    assert.equal(one.mask(text).text, expected.replaceAll('#', '[redacted]'));
    const bytes = Buffer.from(text);
    assert.equal(one.mayContain(bytes, 0, bytes.length), true);
  });
}

const MISSES: readonly (readonly [DetectorType, string])[] = [
  ['Card', '4111111111111112'],
  ['Card', '0000000000000000'],
  ['Card', '0.4111111111111111'],
  ['Card', '411111111111'],
  ['Card', '41111111111111111111'],
  ['Card', '2026-11-21 10:16:23.123456+00'],
  ['Email', 'ada@localhost'],
  ['Email', '@example.com'],
  ['Email', 'a @ example.com'],
  ['IBAN', 'DE88370400440532013000'],
  ['IBAN', 'DE8937040044053201300'],
  ['IBAN', 'ZZ89370400440532013000'],
  ['SSN', '000-05-1120'],
  ['SSN', '666-05-1120'],
  ['SSN', '912-05-1120'],
  ['SSN', '078-00-1120'],
  ['SSN', '078-05-0000'],
  ['SSN', '1078-05-11201'],
  ['SSN', '078-05 1120'],
  ['Phone', '+1 2'],
  ['Phone', '123-456-7890'],
  ['Phone', '2+12345678901'],
  ['JWT', 'eyJ.eyJ'],
  ['CloudKey', 'AKIAshort'],
  ['CloudKey', 'sk_live_'],
  ['PrivateKey', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----'],
];

for (const [type, text] of MISSES) {
  test(`${type} is not found in ${JSON.stringify(text.slice(0, 50))}`, () => {
    assert.deepEqual(detectors(type).mask(text), { text, hits: 0, nulled: false });
  });
}

test('an ordinary row does not get past the prefilter', () => {
  for (const text of ['Ada Lovelace, London', '12345678', '2026-11-21', 'they said: not today', '{"a":[1,2,3],"b":null}', ' '.repeat(84)]) {
    const bytes = Buffer.from(text);
    assert.equal(all.mayContain(bytes, 0, bytes.length), false, text);
  }
});

const soup = fc.array(
  fc.oneof(
    fc.constantFrom(...HITS.map(([, text]) => text), '@', '-', ' ', '.', '+', '\\', '\n', '"', 'eyJ', 'DE', 'ghp_', 'AKIA'),
    fc.string({ maxLength: 6, unit: 'grapheme' }),
    fc.stringMatching(/^[0-9 -]{0,20}$/),
    fc.stringMatching(/^[A-Za-z0-9_.-]{0,45}$/),
  ),
  { maxLength: 12 },
);

test('what the prefilter lets pass holds nothing, whatever stands around it', () => {
  fc.assert(
    fc.property(soup, fc.uint8Array({ maxLength: 6 }), (parts, around) => {
      const text = parts.join('');
      const row = Buffer.concat([around, Buffer.from(text), around]);
      const types = BUILT_IN.filter((type) => detectors(type).mask(text).hits > 0);
      for (const type of types) assert.equal(detectors(type).mayContain(row, 0, row.length), true, type);
    }),
    { numRuns: 500 },
  );
});

test('a value that was found is not in the masked text, and what is around it stays', () => {
  const safe = fc.stringMatching(/^[a-z ,;]{0,20}$/);
  fc.assert(
    fc.property(fc.constantFrom(...HITS.filter(([, , expected]) => expected === '#')), safe, safe, ([type, value], before, after) => {
      const masked = detectors(type).mask(`${before};${value};${after}`);
      assert.equal(masked.text, `${before};[redacted];${after}`);
    }),
  );
});

test('strategies: partial keeps what it says, overlapping values take the strictest', () => {
  const spec = { name: 'x', author: AUTHOR } as const;
  const card = (strategy: SnapshotStrategy) => ({ ...spec, type: 'Card', strategy }) as const;
  const partial = compileDetectors([card({ type: 'Partial', keepStart: 0, keepEnd: 4 })]);
  assert.equal(partial.mask('a 4111111111111111').text, 'a ************1111');
  const greedy = compileDetectors([card({ type: 'Partial', keepStart: 6, keepEnd: 4 })]);
  assert.equal(greedy.mask('4111111111111111').text, '*'.repeat(16));
  const both = compileDetectors([
    card({ type: 'Partial', keepStart: 0, keepEnd: 4 }),
    { ...spec, type: 'Custom', pattern: 'no 4[0-9]+', strategy: { type: 'Null' } },
  ]);
  assert.deepEqual(both.mask('no 4111111111111111!'), { text: '[redacted]!', hits: 1, nulled: true });
});

test('custom patterns run on RE2; what they match of no length is nothing', () => {
  const custom = (pattern: string) => compileDetectors([{ type: 'Custom', name: 'own', pattern, strategy: REDACT, author: AUTHOR }]);
  assert.equal(custom('EMP-[0-9]{4}').mask('a EMP-1234 EMP-99 EMP-5678').text, 'a [redacted] EMP-99 [redacted]');
  assert.equal(custom('x*').mask('abc').hits, 0);
  assert.equal(custom('^(a+)+$').mask(`${'a'.repeat(50_000)}b`).hits, 0);
  const long = custom('EMP-[0-9]{4}').mask(`EMP-1234${'y'.repeat(1_100_000)}`);
  assert.equal(long.text, '[redacted]', 'a hit in more text than may be searched masks all of it');
  assert.throws(() => custom('(?=x)'));
});

/** Counts how often a finder looks at a character. */
function stepsOf(find: (text: string, found: (start: number, end: number) => void) => void, text: string): number {
  let steps = 0;
  const counting = {
    length: text.length,
    charCodeAt: (at: number) => (steps++, text.charCodeAt(at)),
    charAt: (at: number) => (steps++, text.charAt(at)),
    startsWith: (what: string, at: number) => ((steps += what.length), text.startsWith(what, at)),
    slice: (from: number, to: number) => ((steps += Math.max(0, to - from)), text.slice(from, to)),
    indexOf: (what: string, from: number) => {
      const at = text.indexOf(what, from);
      steps += (at === -1 ? text.length : at) - Math.min(from ?? 0, text.length) + 1;
      return at;
    },
    toString: () => text,
  };
  find(counting as unknown as string, () => {});
  return steps;
}

const EVIL = [
  'x',
  'x@',
  '@',
  'a.',
  '4',
  '4 ',
  '4-4 ',
  '41-',
  '+1',
  '+1 ',
  '+',
  '(',
  '2',
  'eyJ',
  'eyJ.',
  'eyJa.b',
  'DE12',
  'DE12a ',
  'AKIA',
  'ghp_',
  'sk-ant-',
  '8Q~',
  '"',
  '"@',
  '-----BEGIN ',
  '-----BEGIN PRIVATE KEY-----',
  '\\-',
  '078-05-',
];

for (const find of [findCards, findEmails, findIbans, findSsns, findPhones, findJwts, findPrivateKeys, findCloudKeys]) {
  test(`${find.name} takes a bounded number of steps per character, whatever the text`, () => {
    for (const piece of EVIL) {
      const text = piece.repeat(Math.ceil(200_000 / piece.length));
      const steps = stepsOf(find, text);
      assert.ok(steps <= 400 * text.length, `${steps} steps for ${text.length} characters of ${JSON.stringify(piece)}`);
    }
  });
}

test('a custom pattern that takes too long masks the whole text, however long, and is told', (t) => {
  const { detectorMs, onDetector } = slow;
  t.after(() => Object.assign(slow, { detectorMs, onDetector }));
  const told: number[] = [];
  const detectors = compileDetectors([
    { type: 'Custom', name: 'own', pattern: '(a|b|ab|ba)*abcabc[0-9]{1,30}x', strategy: { type: 'Redact' }, author: AUTHOR },
  ]);
  const text = 'abcabc1 '.repeat(25_000);
  assert.equal(detectors.mask(text).hits, 0);
  // A clock of CPU time may be coarse: whatever it says is too long.
  Object.assign(slow, { detectorMs: -1, onDetector: (ms: number) => told.push(ms) });
  assert.deepEqual(detectors.mask(text), { text: '[redacted]', hits: 1, nulled: false });
  assert.equal(detectors.mask('abcabc1 '.repeat(5000)).hits, 1);
  assert.equal(told.length, 2);
  assert.equal(detectors.mask('short').hits, 0);
});
