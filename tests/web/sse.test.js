import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createParser } from '../../web/client/sse.js';

const bytes = (text) => new TextEncoder().encode(text);

function parse(chunks, options = {}) {
  const events = [];
  const retries = [];
  const parser = createParser({
    onEvent: (event) => events.push(event),
    onRetry: (milliseconds) => retries.push(milliseconds),
    ...options,
  });
  for (const chunk of chunks) parser.push(chunk);
  return { events, retries };
}

const STREAM = [
  '\uFEFF: a comment\r\n',
  'event: saga\r\nid: e1-1\r\ndata: {"naïve":\r\ndata:  "☕🫖"}\r\n\r\n',
  'retry: 1500\rdata:no space\rdata\rdata: last\r\r',
  'id: with\0nul\ndata: keeps the id\n\n',
  'id\nevent: empty-id\ndata: x\n\n',
  'event: no data is no event\nid: e1-2\n\n',
  'data: but its id stays\n\n',
  'unknown: field\nretry: 12x\nretry\ndata:\n\n',
  'data: unfinished',
].join('');

const EXPECTED = [
  { type: 'saga', id: 'e1-1', data: '{"naïve":\n "☕🫖"}' },
  { type: 'message', id: 'e1-1', data: 'no space\n\nlast' },
  { type: 'message', id: 'e1-1', data: 'keeps the id' },
  { type: 'empty-id', id: '', data: 'x' },
  { type: 'message', id: 'e1-2', data: 'but its id stays' },
  { type: 'message', id: 'e1-2', data: '' },
];

test('the whole grammar is parsed in one piece', () => {
  const { events, retries } = parse([bytes(STREAM)]);
  assert.deepEqual(events, EXPECTED);
  assert.deepEqual(retries, [1500]);
});

test('a cut at any byte boundary changes nothing', () => {
  const whole = bytes(STREAM);
  for (let cut = 0; cut <= whole.length; cut += 1) {
    assert.deepEqual(parse([whole.slice(0, cut), whole.slice(cut)]).events, EXPECTED, `cut at byte ${cut}`);
  }
});

test('cuts at any two byte boundaries change nothing', () => {
  const whole = bytes('\uFEFFdata: é\r\rdata: ☕\r\n\r\nid: 1\rdata: z\n\r\n');
  const expected = parse([whole]).events;
  assert.equal(expected.length, 3);
  for (let first = 0; first <= whole.length; first += 1) {
    for (let second = first; second <= whole.length; second += 1) {
      const chunks = [whole.slice(0, first), whole.slice(first, second), whole.slice(second)];
      assert.deepEqual(parse(chunks).events, expected, `cuts at ${first} and ${second}`);
    }
  }
});

test('one byte at a time changes nothing, whatever ends the lines', () => {
  for (const end of ['\n', '\r', '\r\n']) {
    const text = ['event: saga', 'data: 1', 'data: ü', '', ': beat', 'data: 2', '', ''].join(end);
    const chunks = [...bytes(text)].map((byte) => Uint8Array.of(byte));
    assert.deepEqual(
      parse(chunks).events.map((event) => event.data),
      ['1\nü', '2'],
      JSON.stringify(end),
    );
  }
});

test('only the first byte order mark is stripped', () => {
  assert.equal(parse([bytes('\uFEFFdata: a\n\n\uFEFFdata: b\n\n')]).events.length, 1);
});

test('an event without an end is refused before it uses much memory', () => {
  const chunk = bytes('data: ' + 'x'.repeat(1000));
  assert.throws(() => parse(Array(20).fill(chunk), { limit: 10_000 }), RangeError);
  const lines = bytes('data: ' + 'x'.repeat(1000) + '\n');
  assert.throws(() => parse(Array(20).fill(lines), { limit: 10_000 }), RangeError);
  assert.equal(
    parse(Array(20).fill(bytes('data: ' + 'x'.repeat(1000) + '\n\n')), { limit: 10_000 }).events.length,
    20,
  );
});
