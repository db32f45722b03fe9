import assert from 'node:assert/strict';
import { test } from 'node:test';
import { receivedPosition } from './position.ts';

test('a place in the rewritten text is told as the place in the text that was written', () => {
  const sql = 'SELECT é, x FROM t, u WHERE nope = 1';
  const bytes = Buffer.from(sql);
  const edits = ['t,', 'u '].map((name) => {
    const start = bytes.indexOf(name);
    return { start, end: start + 1, text: `(SELECT 'ü' AS ${name[0]} FROM r) AS ${name[0]}` };
  });
  let sent = sql;
  for (const { start, end, text } of edits.toReversed()) {
    const before = Buffer.from(sent);
    sent = `${before.subarray(0, start).toString()}${text}${before.subarray(end).toString()}`;
  }
  const placeOf = (text: string, part: string): number => [...text.slice(0, text.indexOf(part))].length + 1;
  for (const part of ['é', 'x FROM', 'nope', '= 1'])
    assert.equal(receivedPosition(sql, sent, edits, placeOf(sent, part)), placeOf(sql, part), part);
  assert.equal(receivedPosition(sql, sent, edits, placeOf(sent, 'r) AS u')), placeOf(sql, 'u WHERE'));
});
