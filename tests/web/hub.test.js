/** The hub between one stream and many tabs, with real connections beneath it where they matter. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createHub } from '../../web/client/hub.js';
import { createCell } from '../../web/client/observable.js';

const row = (version, id = 'o') => ({ id, type: 'order', status: 'RUNNING', version });
const snapshot = (cursor, sagas = [], values = []) => ({
  type: 'snapshot',
  id: cursor,
  data: { cursor, sagas, values },
});
const saga = (id, data) => ({ type: 'saga', id, data });
const stock = (version) => ({ name: 'stock/a', version, data: version, at: '' });

/** A hub, what it told each tab, and the streams it opened. */
function bench(seed) {
  const told = {};
  const streams = [];
  const hub = createHub({
    seed,
    post(to, message) {
      for (const tab of to === null ? Object.keys(told) : [to]) (told[tab] ??= []).push(message);
    },
    source(options) {
      const state = createCell('stopped');
      const stream = {
        ...options,
        state,
        calls: [],
        start: () => state.get() === 'stopped' && state.set('connecting'),
        stop: () => state.set('stopped'),
        watch: (names) => stream.calls.push(['watch', ...names]),
        reconnect: (how) => stream.calls.push(['reconnect', how?.backoff]),
      };
      streams.push(stream);
      return stream;
    },
  });
  return {
    told,
    streams,
    say: hub.hear,
    join(tab, { owner = 'ada', cursor = null, names = [] } = {}) {
      told[tab] ??= [];
      hub.hear(tab, { kind: 'join', owner, cursor, names, settings: { url: '/bff/live' } });
    },
    /** What a tab was told since it was last asked. */
    heard: (tab) =>
      told[tab]
        .splice(0)
        .map((one) => (one.kind === 'event' ? `${one.event.type} ${one.event.id}` : (one.state ?? one.kind))),
  };
}

test('one stream serves all who join; who joins late is told where things stand', () => {
  const b = bench();
  b.join('one');
  b.streams[0].state.set('live');
  b.streams[0].onEvent(snapshot('e-1', [row(1)]));
  b.streams[0].onEvent(saga('e-2', row(2)));
  b.join('two');
  assert.equal(b.streams.length, 1);
  assert.deepEqual(b.heard('one'), ['connecting', 'connecting', 'live', 'snapshot e-1', 'saga e-2']);
  assert.deepEqual(b.told.two.at(-1).event.data.sagas[0].version, 2);
  assert.deepEqual(b.heard('two'), ['live', 'snapshot e-2']);
});

test('a tab that is as far or further is not sent back; one of another epoch or behind is brought up', () => {
  const b = bench();
  b.join('one');
  b.streams[0].onEvent(snapshot('e-5', [row(1)]));
  for (const [cursor, told] of [
    ['e-5', []],
    ['e-9', []],
    ['e-4', ['snapshot e-5']],
    ['f-9', ['snapshot e-5']],
  ]) {
    b.join('two', { cursor });
    assert.deepEqual(b.heard('two').slice(1), told, cursor);
  }
});

test('repeats are not passed on, and a gap is the hub’s own to close', () => {
  const b = bench();
  b.join('one');
  const [stream] = b.streams;
  stream.onEvent(snapshot('e-1'));
  b.heard('one');
  stream.onEvent(saga('e-1', row(1)));
  stream.onEvent(saga('e-3', row(3)));
  assert.equal(stream.cursor(), 'e-1');
  stream.onEvent(saga('e-3', row(3)));
  assert.equal(stream.cursor(), null, 'resuming did not help');
  assert.deepEqual(
    stream.calls.filter(([call]) => call === 'reconnect'),
    [
      ['reconnect', false],
      ['reconnect', true],
    ],
  );
  assert.deepEqual(b.heard('one'), []);
});

test('values are asked for once for all, and told at once where they are known', () => {
  const b = bench();
  b.join('one', { names: ['stock/a'] });
  const [stream] = b.streams;
  stream.onEvent(snapshot('e-1', [], [stock(3)]));
  b.join('two', { cursor: 'e-1', names: ['stock/a', 'stock/b'] });
  assert.deepEqual(stream.calls.at(-1), ['watch', 'stock/a', 'stock/b']);
  assert.deepEqual(b.told.two[0].event.data, stock(3));
  b.say('two', { kind: 'leave' });
  b.say('one', { kind: 'watch', names: [] });
  assert.deepEqual(stream.calls.at(-1), ['watch']);
});

test('who asks for more than one stream may carry is sent to a stream of their own, and the others stay', () => {
  const b = bench();
  b.join('one', { names: ['stock/a'] });
  b.join('two', { names: Array.from({ length: 50 }, (_, at) => `stock/${at}`) });
  assert.deepEqual(b.heard('two'), ['full']);
  assert.equal(b.streams[0].state.get(), 'connecting');
});

test('a tab that asks for what it may not have takes a stream of its own, and the others keep theirs', () => {
  const b = bench();
  b.join('one', { names: ['stock/a'] });
  b.join('two', { names: ['bell/another'] });
  b.join('three', { names: ['stock/a'] });
  const [stream] = b.streams;
  b.heard('two');
  stream.onRefused();
  assert.deepEqual(b.heard('two'), ['full']);
  assert.deepEqual(stream.calls.slice(-2), [
    ['watch', 'stock/a'],
    ['reconnect', undefined],
  ]);
  stream.onRefused();
  assert.deepEqual(stream.calls.at(-1), ['reconnect', undefined], 'there is nobody else to blame');
});

test('the last to leave ends the stream, and nothing of the person is kept', () => {
  const b = bench();
  b.join('one');
  b.join('two');
  b.streams[0].onEvent(snapshot('e-1', [row(1)]));
  b.say('one', { kind: 'leave' });
  assert.equal(b.streams[0].state.get(), 'connecting');
  b.say('two', { kind: 'leave' });
  assert.equal(b.streams[0].state.get(), 'stopped');
  b.heard('one');
  b.join('one');
  assert.equal(b.streams.length, 2);
  assert.equal(b.streams[1].cursor(), null);
  assert.deepEqual(b.heard('one'), ['connecting', 'connecting']);
});

test('another person takes the stream over: the first one’s tabs are stopped, and nothing is mixed', () => {
  const b = bench();
  b.join('one');
  b.streams[0].onEvent(snapshot('e-1', [row(1, 'adas')]));
  b.heard('one');
  b.join('two', { owner: 'bruno' });
  assert.deepEqual(b.heard('one')[0], 'stopped');
  assert.equal(b.streams[0].state.get(), 'stopped');
  b.streams[1].onEvent(snapshot('f-1', [row(1, 'brunos')]));
  assert.deepEqual(b.heard('two').at(-1), 'snapshot f-1');
  assert.ok(
    b.told.one.every(({ owner }) => owner === 'bruno'),
    'marked as another’s, so that the tab ignores it',
  );
  b.streams[0].onEvent(saga('e-2', row(2, 'adas')));
  assert.deepEqual(b.heard('two'), [], 'nothing of the old stream is passed on');
});

test('the end of the session ends it for all, and the next to join begins anew', () => {
  const b = bench();
  b.join('one');
  b.join('two');
  b.heard('one');
  b.heard('two');
  b.streams[0].state.set('stopped');
  assert.deepEqual([b.heard('one'), b.heard('two')], [['stopped'], ['stopped']]);
  b.join('two');
  assert.equal(b.streams.length, 2);
});

test('a hub that comes after another goes on from where its tab stands', () => {
  const b = bench({ owner: 'ada', state: { cursor: 'e-7', sagas: [row(4)], values: [stock(2)] } });
  b.join('one', { cursor: 'e-7', names: ['stock/a'] });
  assert.equal(b.streams[0].cursor(), 'e-7');
  b.join('two', { cursor: 'e-6' });
  assert.deepEqual(b.heard('two').at(-1), 'snapshot e-7');
  b.streams[0].onEvent(saga('e-8', row(5)));
  assert.deepEqual(b.heard('one').at(-1), 'saga e-8');
});

test('a tab that joins again is answered at once, and what a page notices reaches the stream', () => {
  const b = bench();
  b.join('one');
  b.heard('one');
  b.join('one');
  assert.deepEqual(b.heard('one'), ['connecting']);
  const seen = [];
  const { surroundings } = b.streams[0];
  surroundings.addEventListener('offline', () => seen.push(surroundings.navigator.onLine));
  surroundings.addEventListener('visibilitychange', () => seen.push('visible'));
  b.say('one', { kind: 'wake', type: 'offline', onLine: false });
  b.say('one', { kind: 'wake', type: 'visibilitychange', onLine: true });
  assert.deepEqual(seen, [false, 'visible']);
});
