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

/** A hub, the messages it sent to each tab, and the streams it opened. */
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
        follow: (names) => stream.calls.push(['follow', ...names]),
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
    say: hub.onMessage,
    close: hub.close,
    join(tab, { userId = 'ada', cursor = null, names = [], user = null, ...how } = {}) {
      told[tab] ??= [];
      hub.onMessage(tab, {
        kind: 'join',
        userId,
        cursor,
        names,
        settings: { url: '/bff/live', user },
        ...how,
      });
    },
    /** The messages to a tab since the last call. */
    heard: (tab) =>
      told[tab]
        .splice(0)
        .map((one) => (one.kind === 'event' ? `${one.event.type} ${one.event.id}` : (one.state ?? one.kind))),
    /** How the last stream was joined again since the last call. */
    joined: () =>
      streams
        .at(-1)
        .calls.splice(0)
        .filter(([call]) => call === 'reconnect' || call === 'start'),
  };
}

test('one stream serves all tabs; for a tab that joins late it is joined again from the position of that tab', () => {
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

test('a tab at the position of the stream causes no new join; a tab at another position does', () => {
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

test('tabs that miss the same events cause one new join, and a failed join counts as one', () => {
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

test('values are requested once for all tabs; a value that a tab does not have yet is sent again', () => {
  const b = bench();
  b.join('one', { names: ['stock/a'] });
  const [stream] = b.streams;
  stream.onEvent(snapshot('e-1'));
  b.join('two', { cursor: 'e-1', names: ['stock/a', 'stock/b'] });
  assert.deepEqual(stream.calls.slice(-2), [
    ['follow', 'stock/a', 'stock/b'],
    ['reconnect', 'e-1', false],
  ]);
  b.join('two', { cursor: 'e-1', names: ['stock/a'] });
  assert.deepEqual(stream.calls.at(-1), ['follow', 'stock/a']);
  b.say('two', { kind: 'leave' });
  b.join('one', { cursor: 'e-1' });
  assert.deepEqual(stream.calls.at(-1), ['follow']);
});

test('a tab whose values are refused gets a stream of its own; the other tabs keep the shared one', () => {
  const b = bench();
  b.join('one', { names: ['stock/a'] });
  b.join('two', { names: ['bell/another'] });
  b.join('three', { names: ['stock/a'] });
  const [stream] = b.streams;
  b.heard('two');
  stream.onRefused();
  assert.deepEqual(b.heard('two'), ['full']);
  assert.deepEqual(stream.calls.slice(-2), [
    ['follow', 'stock/a'],
    ['reconnect', null, false],
  ]);
});

test('of several tabs whose values are refused each gets a stream of its own, until it is served again', () => {
  const b = bench();
  b.join('one', { names: ['stock/a'] });
  b.join('two', { names: ['bell/another'] });
  b.join('three', { names: ['bell/a-third'] });
  const [stream] = b.streams;
  stream.onRefused();
  stream.onRefused();
  assert.deepEqual([b.heard('three').at(-1), b.heard('two').at(-1)], ['full', 'full']);
  assert.deepEqual(stream.calls.slice(-2), [
    ['follow', 'stock/a'],
    ['reconnect', null, false],
  ]);
  const before = stream.calls.length;
  stream.onRefused();
  assert.equal(stream.calls.length, before, 'no other tab can be the reason');
});

test('values that only a closed tab wanted are no longer requested', () => {
  const b = bench();
  b.join('one', { names: ['stock/a'] });
  b.join('two', { names: ['bell/another'] });
  b.say('two', { kind: 'leave' });
  assert.deepEqual(b.streams[0].calls.at(-1), ['follow', 'stock/a']);
});

test('a tab gets its snapshot or its missed events, although another tab joins from another position meanwhile', () => {
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

test('tabs that join before the first event of the stream are served by the same attempt', () => {
  const b = bench();
  for (let tab = 0; tab < 20; tab += 1) b.join(`${tab}`, { names: ['stock/a'] });
  assert.deepEqual(b.joined(), [['start', null]]);
  b.streams[0].onEvent({ type: 'value', id: '', data: {} });
  b.join('late', { names: ['stock/a'] });
  assert.deepEqual(b.joined(), [['reconnect', null, false]], 'that value had already been sent');
});

test('when the last tab leaves, the stream ends and nothing of the person is stored', () => {
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

test('when another person signs in, the tabs of the first person are stopped, and no data is mixed', () => {
  const b = bench();
  b.join('one');
  b.streams[0].onEvent(snapshot('e-1', [row(1, 'adas')]));
  b.heard('one');
  b.join('two', { userId: 'bruno' });
  assert.deepEqual(b.heard('one'), ['stopped']);
  assert.equal(b.streams[0].state.get(), 'stopped');
  b.streams[1].onEvent(snapshot('f-1', [row(1, 'brunos')]));
  assert.deepEqual(b.heard('two').at(-1), 'snapshot f-1');
  assert.deepEqual(b.told.one, [], 'the tabs of the first person get nothing of the other');
  b.streams[0].onEvent(saga('e-2', row(2, 'adas')));
  assert.deepEqual(b.heard('two'), [], 'nothing of the old stream is passed on');
});

test('a tab of a former person that wakes up is stopped, and does not affect the current person', () => {
  const b = bench();
  b.join('two', { userId: 'bruno' });
  b.streams[0].who = 'hash-of-bruno';
  b.streams[0].state.set('live');
  b.heard('two');
  b.join('one', { userId: 'ada', cursor: 'e-7', user: 'hash-of-ada' });
  assert.deepEqual(b.told.one, [{ kind: 'state', state: 'stopped', userId: 'ada', user: 'hash-of-bruno' }]);
  assert.deepEqual(b.heard('two'), []);
  assert.equal(b.streams.length, 1);
  b.streams[0].onEvent(snapshot('f-1'));
  assert.equal(b.told.one.length, 1);
  b.say('two', { kind: 'leave' });
  b.join('one', { userId: 'ada', user: 'hash-of-ada' });
  assert.equal(b.streams[1].must, 'hash-of-ada');
  assert.equal(
    b.streams.length,
    2,
    'without another person it may try, and the journal must be of that person',
  );
});

test('the end of the session ends the stream for all tabs, and the next tab to join starts it again', () => {
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

test('a new hub continues from the position of its tab', () => {
  const b = bench();
  b.join('one', { cursor: 'e-7', names: ['stock/a'] });
  assert.deepEqual(b.joined(), [['start', 'e-7']]);
  b.join('two', { cursor: 'e-7' });
  assert.deepEqual(b.joined(), []);
  b.streams[0].onEvent(saga('e-8', row(5)));
  assert.deepEqual([b.heard('one').at(-1), b.heard('two').at(-1)], ['saga e-8', 'saga e-8']);
});

test('a hub that has ended sends no message about it, and the next hub continues', () => {
  const b = bench();
  b.join('one');
  b.heard('one');
  b.close();
  assert.equal(b.streams[0].state.get(), 'stopped');
  assert.deepEqual(b.heard('one'), []);
});

test('a tab that joins again is answered at once, and signals of a page reach the stream', () => {
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
