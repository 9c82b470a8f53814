/** The hub between one stream and many tabs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createHub } from '../../web/client/hub.js';
import { createCell } from '../../web/client/observable.js';

const row = (version, id = 'o') => ({ id, type: 'order', status: 'RUNNING', version });
const snapshot = (cursor, sagas = []) => ({
  type: 'snapshot',
  id: cursor,
  data: { cursor, sagas, values: [] },
});
const saga = (id, data) => ({ type: 'saga', id, data });

/** A hub, what it told each tab, and the streams it opened. */
function bench() {
  const told = {};
  const streams = [];
  const hub = createHub({
    post(to, message) {
      for (const tab of to) (told[tab] ??= []).push(message);
    },
    source(options) {
      const state = createCell('stopped');
      const stream = {
        ...options,
        must: options.user,
        state,
        calls: [],
        who: null,
        user: () => stream.who,
        start(how) {
          if (state.get() !== 'stopped') return stream.reconnect(how);
          stream.calls.push(['start', options.cursor()]);
          state.set('connecting');
        },
        stop: () => state.set('stopped'),
        watch: (names) => stream.calls.push(['watch', ...names]),
        reconnect: (how) => stream.calls.push(['reconnect', options.cursor(), how?.backoff ?? false]),
        wake: ({ type, onLine }) => stream.calls.push([type, onLine]),
      };
      streams.push(stream);
      return stream;
    },
  });
  return {
    told,
    streams,
    say: hub.hear,
    close: hub.close,
    join(tab, { owner = 'ada', cursor = null, names = [], user = null, ...how } = {}) {
      told[tab] ??= [];
      hub.hear(tab, { kind: 'join', owner, cursor, names, settings: { url: '/bff/live', user }, ...how });
    },
    /** What a tab was told since it was last asked. */
    heard: (tab) =>
      told[tab]
        .splice(0)
        .map((one) => (one.kind === 'event' ? `${one.event.type} ${one.event.id}` : (one.state ?? one.kind))),
    /** How the last stream was joined again since it was last asked. */
    joined: () =>
      streams
        .at(-1)
        .calls.splice(0)
        .filter(([call]) => call === 'reconnect' || call === 'start'),
  };
}

test('one stream serves all who join; who joins late has it joined again from where they stand', () => {
  const b = bench();
  b.join('one');
  assert.deepEqual(b.joined(), [['start', null]]);
  b.streams[0].state.set('live');
  b.streams[0].onEvent(snapshot('e-1', [row(1)]));
  b.streams[0].onEvent(saga('e-2', row(2)));
  b.join('two');
  assert.equal(b.streams.length, 1);
  assert.deepEqual(b.joined(), [['reconnect', null, false]]);
  b.streams[0].onEvent(snapshot('e-2', [row(2)]));
  assert.deepEqual(b.heard('one'), [
    ...['connecting', 'connecting', 'live', 'snapshot e-1', 'saga e-2'],
    'snapshot e-2',
  ]);
  assert.deepEqual(b.heard('two'), ['live', 'snapshot e-2']);
});

test('a tab that stands where the stream does costs nothing; one that stands elsewhere is brought up', () => {
  const b = bench();
  b.join('one');
  b.streams[0].onEvent(snapshot('e-5', [row(1)]));
  b.joined();
  for (const [cursor, joined] of [
    ['e-5', []],
    ['e-4', [['reconnect', 'e-4', false]]],
    ['f-9', [['reconnect', 'f-9', false]]],
  ]) {
    b.streams[0].onEvent(snapshot('e-5', [row(1)]));
    b.join('two', { cursor });
    assert.deepEqual(b.joined(), joined, cursor);
  }
});

test('tabs that all miss the same have the stream joined again once, and a failure counts as one', () => {
  const b = bench();
  const tabs = ['one', 'two', 'three'];
  for (const tab of tabs) b.join(tab);
  b.streams[0].onEvent(snapshot('e-1'));
  b.streams[0].onEvent(saga('e-3', row(3)));
  b.joined();
  for (const tab of tabs) b.join(tab, { cursor: 'e-1', backoff: false });
  assert.deepEqual(b.joined(), [['reconnect', 'e-1', false]]);
  b.streams[0].onEvent(saga('e-3', row(3)));
  for (const tab of tabs) b.join(tab, { cursor: null, backoff: true });
  assert.deepEqual(b.joined(), [['reconnect', null, true]]);
});

test('values are asked for once for all; what a tab has not had yet is sent again', () => {
  const b = bench();
  b.join('one', { names: ['stock/a'] });
  const [stream] = b.streams;
  stream.onEvent(snapshot('e-1'));
  b.join('two', { cursor: 'e-1', names: ['stock/a', 'stock/b'] });
  assert.deepEqual(stream.calls.slice(-2), [
    ['watch', 'stock/a', 'stock/b'],
    ['reconnect', 'e-1', false],
  ]);
  b.join('two', { cursor: 'e-1', names: ['stock/a'] });
  assert.deepEqual(stream.calls.at(-1), ['watch', 'stock/a']);
  b.say('two', { kind: 'leave' });
  b.join('one', { cursor: 'e-1' });
  assert.deepEqual(stream.calls.at(-1), ['watch']);
});

test('a tab that asks for what it may not have, or for too much, takes a stream of its own; the others keep theirs', () => {
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
    ['reconnect', null, false],
  ]);
});

test('of several who may not have what they asked for each takes a stream of its own, until it is served again', () => {
  const b = bench();
  b.join('one', { names: ['stock/a'] });
  b.join('two', { names: ['bell/another'] });
  b.join('three', { names: ['bell/a-third'] });
  const [stream] = b.streams;
  stream.onRefused();
  stream.onRefused();
  assert.deepEqual([b.heard('three').at(-1), b.heard('two').at(-1)], ['full', 'full']);
  assert.deepEqual(stream.calls.slice(-2), [
    ['watch', 'stock/a'],
    ['reconnect', null, false],
  ]);
  const before = stream.calls.length;
  stream.onRefused();
  assert.equal(stream.calls.length, before, 'there is nobody else to blame');
});

test('what only a tab that left had asked for is not asked for any more', () => {
  const b = bench();
  b.join('one', { names: ['stock/a'] });
  b.join('two', { names: ['bell/another'] });
  b.say('two', { kind: 'leave' });
  assert.deepEqual(b.streams[0].calls.at(-1), ['watch', 'stock/a']);
});

test('a tab that waits for its snapshot, or for what it missed, gets it, whoever joins meanwhile from elsewhere', () => {
  for (const cursor of [null, 'e-3']) {
    const b = bench();
    b.join('one', { names: ['stock/a'] });
    b.streams[0].onEvent(snapshot('e-5', [row(1)]));
    b.join('two', { cursor, names: ['stock/a'] });
    b.streams[0].onEvent({ type: 'beat', id: '', data: {} });
    b.joined();
    b.join('one', { cursor: 'e-5', names: ['stock/b'] });
    b.join('one', { cursor: 'e-5', names: ['stock/b'] });
    assert.equal(b.streams[0].cursor(), null, `from ${cursor}`);
  }
});

test('tabs that come before the stream has said anything are served by that very attempt', () => {
  const b = bench();
  for (let tab = 0; tab < 20; tab += 1) b.join(`${tab}`, { names: ['stock/a'] });
  assert.deepEqual(b.joined(), [['start', null]]);
  b.streams[0].onEvent({ type: 'value', id: '', data: {} });
  b.join('late', { names: ['stock/a'] });
  assert.deepEqual(b.joined(), [['reconnect', null, false]], 'that value had gone by');
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
  assert.deepEqual(b.joined(), [['start', null]]);
  assert.deepEqual(b.heard('one'), ['connecting', 'connecting']);
});

test('another person takes the stream over: the first one’s tabs are stopped, and nothing is mixed', () => {
  const b = bench();
  b.join('one');
  b.streams[0].onEvent(snapshot('e-1', [row(1, 'adas')]));
  b.heard('one');
  b.join('two', { owner: 'bruno' });
  assert.deepEqual(b.heard('one'), ['stopped']);
  assert.equal(b.streams[0].state.get(), 'stopped');
  b.streams[1].onEvent(snapshot('f-1', [row(1, 'brunos')]));
  assert.deepEqual(b.heard('two').at(-1), 'snapshot f-1');
  assert.deepEqual(b.told.one, [], 'nothing of another’s is told to the first one’s tabs');
  b.streams[0].onEvent(saga('e-2', row(2, 'adas')));
  assert.deepEqual(b.heard('two'), [], 'nothing of the old stream is passed on');
});

test('a tab of a former person that wakes up is stopped, and costs who is here now nothing', () => {
  const b = bench();
  b.join('two', { owner: 'bruno' });
  b.streams[0].who = 'hash-of-bruno';
  b.streams[0].state.set('live');
  b.heard('two');
  b.join('one', { owner: 'ada', cursor: 'e-7', user: 'hash-of-ada' });
  assert.deepEqual(b.told.one, [{ kind: 'state', state: 'stopped', owner: 'ada', user: 'hash-of-bruno' }]);
  assert.deepEqual(b.heard('two'), []);
  assert.equal(b.streams.length, 1);
  b.streams[0].onEvent(snapshot('f-1'));
  assert.equal(b.told.one.length, 1);
  b.say('two', { kind: 'leave' });
  b.join('one', { owner: 'ada', user: 'hash-of-ada' });
  assert.equal(b.streams[1].must, 'hash-of-ada');
  assert.equal(b.streams.length, 2, 'where nobody is it may try, and the journal must be that person’s');
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
  const b = bench();
  b.join('one', { cursor: 'e-7', names: ['stock/a'] });
  assert.deepEqual(b.joined(), [['start', 'e-7']]);
  b.join('two', { cursor: 'e-7' });
  assert.deepEqual(b.joined(), []);
  b.streams[0].onEvent(saga('e-8', row(5)));
  assert.deepEqual([b.heard('one').at(-1), b.heard('two').at(-1)], ['saga e-8', 'saga e-8']);
});

test('a hub that is no longer one says nothing of it: whoever comes after it goes on', () => {
  const b = bench();
  b.join('one');
  b.heard('one');
  b.close();
  assert.equal(b.streams[0].state.get(), 'stopped');
  assert.deepEqual(b.heard('one'), []);
});

test('a tab that joins again is answered at once, and what a page notices reaches the stream', () => {
  const b = bench();
  b.join('one');
  b.heard('one');
  b.join('one');
  assert.deepEqual(b.heard('one'), ['connecting']);
  b.say('one', { kind: 'wake', type: 'offline', onLine: false });
  b.say('one', { kind: 'wake', type: 'visibilitychange', onLine: true });
  assert.deepEqual(b.streams[0].calls.slice(-2), [
    ['offline', false],
    ['visibilitychange', true],
  ]);
});
