import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parseCursor } from '../../web/client/cursor.js';
import { derive, same } from '../../web/client/observable.js';
import { createStore } from '../../web/client/store.js';

const row = (id, version, status = 'RUNNING', extra = {}) => ({
  id,
  type: 'order',
  status,
  version,
  ...extra,
});
const snapshot = (cursor, sagas = [], values = [], type = 'snapshot') => ({
  type,
  id: cursor,
  data: { cursor, sagas, values },
});
const saga = (id, data) => ({ type: 'saga', id, data });
const value = (name, version, left) => ({
  type: 'value',
  id: '',
  data: { name, version, data: { left }, at: '' },
});
const versions = (store) =>
  Object.fromEntries([...store.state.sagas].map(([id, entry]) => [id, entry.version]));

test('a cursor is an epoch, which may hold dashes, and an offset', () => {
  assert.deepEqual(parseCursor('a-b.c_1-42'), { epoch: 'a-b.c_1', offset: 42 });
  for (const bad of ['', '42', '-42', 'a-', 'a-x', 'a-1.5', null, undefined, 7])
    assert.equal(parseCursor(bad), null);
});

test('events before the first snapshot are a gap and change nothing', () => {
  const store = createStore();
  assert.equal(store.apply(saga('e-1', row('a', 1))), 'gap');
  assert.equal(store.cursor(), null);
  assert.equal(store.state.sagas.size, 0);
});

test('contiguous events advance the position and the state', () => {
  const store = createStore();
  store.apply(snapshot('e-3', [row('a', 1)]));
  assert.equal(store.apply(saga('e-4', row('a', 2))), 'applied');
  assert.equal(store.apply(saga('e-5', row('b', 0, 'PENDING'))), 'applied');
  assert.deepEqual(versions(store), { a: 2, b: 0 });
  assert.equal(store.cursor(), 'e-5');
});

test('a repeated position changes nothing, whatever its data', () => {
  const store = createStore();
  store.apply(snapshot('e-3', [row('a', 5)]));
  assert.equal(store.apply(saga('e-3', row('a', 9))), 'repeated');
  assert.equal(store.apply(saga('e-1', row('c', 1))), 'repeated');
  assert.deepEqual(versions(store), { a: 5 });
});

test('an older version of a saga moves the position only', () => {
  const store = createStore();
  store.apply(snapshot('e-3', [row('a', 5)]));
  assert.equal(store.apply(saga('e-4', row('a', 4))), 'applied');
  assert.deepEqual(versions(store), { a: 5 });
  assert.equal(store.cursor(), 'e-4');
});

test('a missing offset, another epoch or an unreadable saga is a gap and changes nothing', () => {
  const store = createStore();
  store.apply(snapshot('e-3', [row('a', 1)]));
  for (const event of [
    saga('e-5', row('a', 2)),
    saga('f-4', row('a', 2)),
    saga('none', row('a', 2)),
    saga('e-4', undefined),
    saga('e-4', { id: 'a' }),
    { type: 'snapshot', id: '', data: undefined },
  ]) {
    assert.equal(store.apply(event), 'gap');
  }
  assert.deepEqual(versions(store), { a: 1 });
  assert.equal(store.cursor(), 'e-3');
});

test('a reset replaces everything, in a new epoch and with lower versions too', () => {
  const store = createStore();
  store.apply(
    snapshot('e-9', [row('a', 7), row('b', 2)], [{ name: 'stock/x', version: 9, data: { left: 1 } }]),
  );
  store.apply(snapshot('f-1', [row('a', 3)], [{ name: 'stock/x', version: 2, data: { left: 8 } }], 'reset'));
  assert.deepEqual(versions(store), { a: 3 });
  assert.equal(store.state.values.get('stock/x').data.left, 8);
  assert.equal(store.cursor(), 'f-1');
  assert.equal(store.apply(saga('f-2', row('a', 4))), 'applied');
});

test('a snapshot of another epoch, requested by another tab, replaces values like a reset; one of this epoch does not', () => {
  const store = createStore();
  const told = (version) => [{ name: 'stock/x', version, data: {} }];
  store.apply(value('stock/x', 9, 1));
  store.apply(snapshot('e-1', [], told(8)));
  assert.equal(store.state.values.get('stock/x').version, 9);
  store.apply(snapshot('e-1', [], told(7)));
  assert.equal(store.state.values.get('stock/x').version, 9);
  store.apply(snapshot('f-1', [], told(2)));
  assert.equal(store.state.values.get('stock/x').version, 2);
});

test('sagas are sorted from the oldest to the newest, from a snapshot, newest first, as well as from events', () => {
  const store = createStore();
  store.apply(snapshot('e-2', [row('b', 1), row('a', 1)]));
  store.apply(saga('e-3', row('c', 1)));
  assert.deepEqual([...store.state.sagas.keys()], ['a', 'b', 'c']);
  store.apply(snapshot('e-3', [row('c', 1), row('b', 1), row('a', 1)]));
  assert.deepEqual([...store.state.sagas.keys()], ['a', 'b', 'c']);
});

test('of a value the latest version wins, and versions compare as numbers', () => {
  const store = createStore();
  assert.equal(store.apply(value('stock/x', '9', 5)), 'applied');
  assert.equal(store.apply(value('stock/x', '10', 4)), 'applied');
  assert.equal(store.apply(value('stock/x', 9, 5)), 'repeated');
  assert.equal(store.apply(value('stock/x', 10, 3)), 'repeated');
  assert.equal(store.state.values.get('stock/x').data.left, 4);
});

test('beats and unknown events are ignored', () => {
  const store = createStore();
  assert.equal(store.apply({ type: 'beat', id: '', data: { at: '' } }), 'ignored');
  assert.equal(store.apply({ type: 'later-invention', id: 'e-1', data: {} }), 'ignored');
});

test('a derived readable keeps its object and notifies no subscriber while the content is the same', () => {
  let source = { a: [1, { b: 2 }] };
  const listeners = new Set();
  const readable = derive(() => structuredClone(source), listeners);
  const heard = [];
  const leave = readable.subscribe((value_) => heard.push(value_));
  const first = readable.get();
  for (const listener of listeners) listener();
  assert.equal(readable.get(), first);
  source = { a: [1, { b: 3 }] };
  for (const listener of listeners) listener();
  assert.deepEqual(heard, [source]);
  source = { a: [1, { b: 4 }] };
  assert.equal(readable.get(), readable.get());
  for (const listener of listeners) listener();
  assert.deepEqual(heard.at(-1), source, 'a read before the notification does not suppress it');
  leave();
  assert.equal(listeners.size, 0);
  assert.ok(!same({ a: undefined }, { b: undefined }));
  assert.ok(!same([], {}));
});

test('a value that is gone is dropped, unless a higher version is known, and may come back as it was', () => {
  const store = createStore();
  const gone = (version) => ({
    type: 'gone',
    id: '',
    data: { name: 'stock/a', version, at: '', gone: true },
  });
  assert.equal(store.apply(gone(1)), 'repeated');
  store.apply(snapshot('e-1', [], [value('stock/a', 3, 9).data]));
  assert.equal(store.apply(gone(2)), 'repeated');
  assert.equal(store.state.values.get('stock/a')?.version, 3);
  assert.equal(store.apply(gone(3)), 'applied');
  assert.equal(store.state.values.has('stock/a'), false);
  assert.equal(store.apply(value('stock/a', 3, 9)), 'applied');
  assert.equal(store.apply({ type: 'gone', id: '', data: { version: 3 } }), 'ignored');
  // In a new epoch versions may have gone back.
  store.apply(snapshot('f-1'));
  assert.equal(store.apply(gone(1)), 'applied');
});
