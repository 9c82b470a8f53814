/**
 * The ways to one stream for all tabs, with real threads where a browser has them: a shared worker is a Node thread that
 * runs the real `worker.js`, and can be made to block for ever.
 */
import assert from 'node:assert/strict';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';

import { createClient, createSharedStream } from '../../web/client/index.js';
import { memoryStorage } from './bench.js';

const OPEN = [];
after(() => OPEN.forEach((close) => close()));

const frame = (type, data, id) =>
  `event: ${type}\n${id ? `id: ${id}\n` : ''}data: ${JSON.stringify(data)}\n\n`;
const row = (version) => ({
  id: 'o',
  type: 'order',
  status: 'RUNNING',
  version,
});

/** A gateway with one order in every person's journal; `user` is the person of the browser's session. */
async function gateway() {
  const streams = new Set();
  const world = { joins: 0, version: 1, user: 'a', open: () => streams.size };
  const position = () => `${world.user}-${world.version}`;
  const server = createServer((request, response) => {
    world.joins += 1;
    const after_ = request.headers['last-event-id'];
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'bff-user': world.user,
    });
    const data = {
      cursor: position(),
      sagas: [row(world.version)],
      values: [],
    };
    if (after_ !== position()) response.write(frame(after_ ? 'reset' : 'snapshot', data, position()));
    const beat = setInterval(() => response.write(frame('beat', { at: '' })), 40);
    streams.add(response);
    response.on('close', () => (clearInterval(beat), streams.delete(response)));
  });
  world.step = () => {
    world.version += 1;
    for (const response of streams) response.write(frame('saga', row(world.version), position()));
  };
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  OPEN.push(() => (server.close(), server.closeAllConnections()));
  world.url = `http://127.0.0.1:${server.address().port}/bff/live`;
  return world;
}

/** A `SharedWorker`: one thread for each script and name. */
function shareWorkers() {
  const threads = new Map();
  globalThis.SharedWorker = class {
    constructor(url, { name }) {
      const key = `${url} ${name}`;
      if (threads.has(key)) return;
      const run = `
        const { parentPort, workerData } = require('node:worker_threads');
        parentPort.once('message', () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
        Object.assign(globalThis, { self: globalThis, name: workerData.name });
        import(workerData.url);`;
      threads.set(key, new Worker(run, { eval: true, workerData: { name, url: String(url) } }));
    }
  };
  OPEN.push(() => {
    delete globalThis.SharedWorker;
    for (const thread of threads.values()) void thread.terminate();
  });
  return () => threads.forEach((thread) => thread.postMessage('block'));
}

function tab(url, options = {}) {
  const client = createClient({
    url,
    storage: null,
    stream: { heartbeat: 0.1, base: 0.02, cap: 0.1, ...options },
  });
  const states = [];
  client.connection.subscribe((state) => states.push(state));
  OPEN.push(client.stop);
  return { client, states, version: () => client.saga('o').get()?.version };
}

async function until(condition, what, seconds = 60) {
  const deadline = performance.now() + seconds * 1000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test('tabs share the stream of one worker; when it hangs, each continues with its own stream within bounded time', async () => {
  const world = await gateway();
  const block = shareWorkers();
  const tabs = [tab(world.url), tab(world.url), tab(world.url)];
  for (const one of tabs) {
    one.client.start({ userId: 'ada' });
    await until(() => one.client.connection.get() === 'live' && one.version() === 1, 'live');
  }
  await until(() => world.open() === 1, 'one stream');
  world.step();
  for (const one of tabs) await until(() => one.version() === 2, 'a step by the worker');

  block(); // the worker is alive and silent; its socket stays open
  const began = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 50));
  world.step();
  world.step();
  for (const one of tabs) await until(() => one.version() === 4, 'the steps that came meanwhile');
  // Three silent heartbeats and a limit of five seconds; a busy machine adds to it.
  const took = performance.now() - began;
  assert.ok(took > 5000 && took < 50_000, `${took} ms`);
  world.step();
  for (const { version } of tabs) await until(() => version() === 5, 'a step without the worker');
});

test('tabs with two worker files, after a deployment, have one hub each, and receive every event once', async () => {
  const world = await gateway();
  shareWorkers();
  const copy = await mkdtemp(join(tmpdir(), 'client-'));
  OPEN.push(() => rm(copy, { recursive: true }));
  const filter = (source) => !/node_modules|types/.test(source);
  await cp(fileURLToPath(new URL('../../web/client/', import.meta.url)), copy, {
    recursive: true,
    filter,
  });
  const later = await import(pathToFileURL(join(copy, 'tabs.js')));
  const tabs = [createSharedStream, later.createSharedStream].map((create) => {
    const one = { heard: [], cursor: null };
    one.stream = create({
      url: world.url,
      heartbeat: 0.2,
      cursor: () => one.cursor,
      onEvent({ type, id }) {
        one.cursor = id || one.cursor;
        if (type === 'saga') one.heard.push(id);
      },
    });
    one.stream.start('ada');
    OPEN.push(one.stream.stop);
    return one;
  });
  await until(() => world.open() === 2 && tabs.every(({ cursor }) => cursor), 'two streams');
  await new Promise((resolve) => setTimeout(resolve, 200));
  world.step();
  await until(() => tabs.every(({ heard }) => heard.length > 0), 'a step');
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.deepEqual(
    tabs.map(({ heard }) => heard),
    [['a-2'], ['a-2']],
  );
});

/** A page that can be put into the back-forward cache, and storages that are forbidden, for as long as `play` takes. */
async function inPage(play) {
  const page = new EventTarget();
  const forbidden = {
    configurable: true,
    get() {
      throw new Error('SecurityError');
    },
  };
  globalThis.addEventListener = page.addEventListener.bind(page);
  globalThis.removeEventListener = page.removeEventListener.bind(page);
  Object.defineProperties(globalThis, {
    localStorage: forbidden,
    sessionStorage: forbidden,
  });
  try {
    await play((type) => page.dispatchEvent(new Event(type)));
  } finally {
    for (const name of ['addEventListener', 'removeEventListener', 'localStorage', 'sessionStorage'])
      delete globalThis[name];
  }
}

test('where storage is forbidden everything except persistence works', () =>
  inPage(async () => {
    const world = await gateway();
    const client = createClient({
      url: world.url,
      stream: { share: 'none', heartbeat: 0.1 },
      mutations: { attempts: 1 },
    });
    OPEN.push(client.stop);
    const place = client.define('place', {
      request: () => ({
        url: new URL('/nowhere', world.url).href.replace(/:\d+/, ':1'),
      }),
      apply: (draft) => draft.saga({ type: 'order' }),
    });
    assert.deepEqual(client.start({ userId: 'ada' }), []);
    const leave = client.onSessionChange(() => assert.fail('no person has signed in'));
    const operation = place({});
    assert.equal(client.sagas().get()[0].pending, 'sending');
    assert.equal((await operation.outcome).kind, 'unknown');
    await until(() => client.saga('o').get()?.version === 1, 'the journal');
    client.stop();
    assert.deepEqual(client.start({ userId: 'ada' }), [], 'nothing was stored');
    leave();
  }));

test('with a storage that throws when it is used everything except persistence works', () => {
  const broken = () => {
    throw new Error('QuotaExceededError');
  };
  const storage = { getItem: broken, setItem: broken, removeItem: broken };
  const source = ({ cursor }) => ({
    state: { get: () => 'live', subscribe: () => () => cursor },
    start() {},
    stop() {},
    follow() {},
    reconnect() {},
  });
  const client = createClient({
    storage,
    source,
    fetch: () => new Promise(() => {}),
  });
  const place = client.define('place', {
    request: () => ({ url: '/' }),
    apply: (draft) => draft.saga({ type: 'order' }),
  });
  client.start({ userId: 'ada' });
  place({});
  assert.equal(client.sagas().get().length, 1);
  client.stop();
});

test('without storage, too, a tab that comes back after another person signed in is stopped, and shows nothing of theirs', () =>
  inPage(async (page) => {
    const world = await gateway();
    const { client, states, version } = tab(world.url, { share: 'none' });
    client.start({ userId: 'ada' });
    await until(() => version() === 1, 'the journal');
    page('pagehide');
    await until(() => world.open() === 0, 'no stream of a page that is away');
    world.user = 'b';
    world.version = 7;
    page('pageshow');
    await until(() => client.connection.get() === 'stopped', 'stopped');
    assert.equal(version(), 1);
    assert.deepEqual(states, ['connecting', 'live', 'stale', 'stopped']);
  }));

test('a tab that does not know the person of its journal does not resume when it comes back', () =>
  inPage(async (page) => {
    const world = await gateway();
    const { client, version } = tab(world.url.replace(/:\d+/, ':1'), {
      share: 'none',
    });
    client.start({ userId: 'ada' });
    page('pagehide');
    page('pageshow');
    assert.equal(client.connection.get(), 'stopped');
    assert.equal(version(), undefined);
  }));

test('pending mutations of one person are never sent for another', () => {
  const storage = memoryStorage();
  const source = () => ({
    state: { get: () => 'live', subscribe: () => () => {} },
    start() {},
    stop() {},
    follow() {},
    reconnect() {},
  });
  const requests = [];
  const open = () => {
    const client = createClient({
      storage,
      source,
      fetch: (url) => (requests.push(url), new Promise(() => {})),
    });
    const place = client.define('place', {
      request: () => ({ url: '/' }),
      apply: (draft) => draft.saga({ type: 'order' }),
    });
    return { client, place };
  };
  const { client, place } = open();
  client.start({ userId: 'ada' });
  place({});
  assert.deepEqual(client.start({ userId: 'bruno' }), []);
  assert.deepEqual(client.sagas().get(), []);
  assert.deepEqual(open().client.start({ userId: 'bruno' }), []);
  assert.equal(open().client.start({ userId: 'ada' }).length, 1);
  assert.equal(requests.length, 2);
});

test('the signed-in person is sent to the other tabs, and not stored for the next person at this browser', async () => {
  const kept = new Map();
  const page = new EventTarget();
  const told = [];
  const change = (key, newValue) => {
    newValue === null ? kept.delete(key) : kept.set(key, newValue);
    told.push({ key, newValue });
  };
  const localStorage = {
    getItem: (key) => kept.get(key) ?? null,
    setItem: change,
    removeItem: (key) => change(key, null),
  };
  const source = (state) => () => ({
    state: { get: () => state, subscribe: () => () => {} },
    start() {},
    stop() {},
    follow() {},
    reconnect() {},
  });
  Object.defineProperty(globalThis, 'localStorage', {
    configurable: true,
    value: localStorage,
  });
  globalThis.addEventListener = page.addEventListener.bind(page);
  globalThis.removeEventListener = page.removeEventListener.bind(page);
  try {
    const [one, other] = [0, 1].map(() => createClient({ storage: null, source: source('live') }));
    let heard = 0;
    other.start({ userId: 'ada@example.org' });
    other.onSessionChange(() => (heard += 1));
    /** The browser's storage event in every other tab, some time after the change. */
    const deliver = () => {
      for (const change of told.splice(0)) page.dispatchEvent(Object.assign(new Event('storage'), change));
    };
    deliver();
    one.start({ userId: 'ada@example.org' });
    deliver();
    assert.equal(heard, 0, 'the same person');
    one.start({ userId: 'grace@example.org' });
    deliver();
    assert.equal(heard, 1, 'another person, once');
    assert.deepEqual([...kept], [], 'no trace of the person is left');
    one.stop();
    other.stop();
    deliver();
    assert.equal(heard, 1);
    assert.deepEqual([...kept], []);
  } finally {
    for (const name of ['addEventListener', 'removeEventListener', 'localStorage']) delete globalThis[name];
  }
});
