/** A gateway below a path prefix: its own stream, and nothing in the browser's storage that another gateway could use. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClient } from '../../web/client/index.js';

/** The behaviour of a browser's storage. */
function createStorage() {
  const kept = new Map();
  return {
    kept,
    getItem: (name) => kept.get(name) ?? null,
    setItem: (name, value) => void kept.set(name, value),
    removeItem: (name) => void kept.delete(name),
  };
}

/** A client whose commands never get an answer. */
function clientOf(prefix, storage) {
  const urls = [];
  const client = createClient({
    ...(prefix ? { prefix } : {}),
    storage,
    fetch: () => new Promise(() => {}),
    source: (options) => {
      urls.push(options.url);
      const state = { get: () => 'live', subscribe: () => () => {} };
      return { state, start() {}, stop() {}, follow() {}, reconnect() {} };
    },
  });
  const place = client.define('place', { request: () => ({ url: `${prefix}/api/orders` }), apply() {} });
  return { client, place, urls };
}

test('the stream is requested below the prefix, and an explicit address takes precedence', () => {
  assert.deepEqual(clientOf('', null).urls, ['/bff/live']);
  assert.deepEqual(clientOf('/desk', null).urls, ['/desk/bff/live']);
  const urls = [];
  createClient({ prefix: '/desk', url: '/x', source: (options) => (urls.push(options.url), clientSource()) });
  assert.deepEqual(urls, ['/x']);
});

const clientSource = () => ({ state: { get: () => 'stopped', subscribe: () => () => {} }, stop() {} });

test('what one gateway stores for a reload is not used by another on the same host', () => {
  const storage = createStorage();
  const desk = clientOf('/desk', storage);
  desk.client.start({ userId: 'ada' });
  desk.place({ lines: [] });
  assert.equal(storage.kept.size, 1);
  assert.equal(clientOf('/shop', storage).client.start({ userId: 'ada' }).length, 0);
  assert.equal(clientOf('', storage).client.start({ userId: 'ada' }).length, 0);
  assert.equal(clientOf('/desk', storage).client.start({ userId: 'grace' }).length, 0);
  assert.equal(clientOf('/desk', storage).client.start({ userId: 'ada' }).length, 1);
});
