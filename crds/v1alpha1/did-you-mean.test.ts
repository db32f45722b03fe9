import assert from 'node:assert/strict';
import { it } from 'node:test';
import { didYouMean } from './did-you-mean.ts';

const MEMBERS = ['name', 'action', 'sql', 'http', 'when', 'gateRefs', 'timeoutSeconds'];

for (const [written, meant] of [
  ['acton', 'action'],
  ['aciton', 'action'],
  ['Action', 'action'],
  ['gaterefs', 'gateRefs'],
  ['gateRef', 'gateRefs'],
  ['timeoutSecond', 'timeoutSeconds'],
  ['sq', 'sql'],
  ['colour', null],
  ['', null],
  ['__proto__', null],
  ['x'.repeat(100_000), null],
] as const) {
  it(`${written.slice(0, 20)} -> ${meant}`, () => assert.equal(didYouMean(written, MEMBERS), meant));
}
