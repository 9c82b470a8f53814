/** One test for each fault of the client that a page met. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import { createHub } from '../../web/client/hub.js';
import { createClient, createSharedStream, readProblem } from '../../web/client/index.js';
import { runWorkerHub } from '../../web/client/leader.js';
import { PROTOCOL } from '../../web/client/protocol.js';
import { createCell } from '../../web/client/observable.js';
import { connectQueries } from '../../web/client/query.js';
import { createStream } from '../../web/client/stream.js';
import { createStore } from '../../web/client/store.js';
import { createBench, json, memoryStorage, turn } from './bench.js';

const refusal = (status, code) => json(status, { title: code, status, code });

// ---- an operation that gave up

test('an operation that is refused after its attempts ended settles as rejected', async () => {
  const bench = createBench({ attempts: 1 });
  bench.snapshot('e-0');
  const operation = bench.client.mutate({
    request: { url: '/api/orders' },
    apply: (draft) => draft.saga({ type: 'order' }),
  });
  (await bench.request(0)).reject(new TypeError('network'));
  assert.equal((await operation.outcome).kind, 'unknown');
  operation.retry();
  (await bench.request(1)).resolve(refusal(409, 'sold-out'));
  const settled = await operation.settled;
  assert.equal(settled.kind, 'rejected');
  assert.equal(settled.problem.code, 'sold-out');
  assert.deepEqual(bench.client.sagas().get(), [], 'its row is gone, and the caller has the reason');
});

test('the end of an operation that was answered is its outcome', async () => {
  const bench = createBench();
  bench.snapshot('e-0');
  const operation = bench.client.mutate({ request: { url: '/' }, apply() {} });
  (await bench.request(0)).resolve(json(200, {}));
  assert.deepEqual(await operation.settled, await operation.outcome);
});

// ---- exceptions and timers of one operation

test('a `settledWhen` that throws is reported, and the other operations go on', async () => {
  const bench = createBench();
  bench.snapshot('e-0');
  const place = (settledWhen) =>
    bench.client.mutate({
      request: { url: '/' },
      apply: (draft) => draft.saga({ type: 'order' }),
      settledWhen,
    });
  const operations = [
    place(() => {
      throw new Error('a mistake of the page');
    }),
    place(() => true),
  ];
  const errors = await reported(async () => {
    for (const [at, operation] of operations.entries()) {
      const saga = { id: `o${at}`, type: 'order', status: 'PENDING', version: 0 };
      (await bench.request(at)).resolve(json(202, { saga, cursor: 'e-1' }));
      await operation.accepted;
    }
    bench.saga('e-1', { id: 'o0', type: 'order', status: 'RUNNING', version: 1 });
    bench.saga('e-2', {
      id: 'o1',
      type: 'order',
      status: 'COMPLETED',
      version: 1,
      mutation: operations[1].id,
    });
  });
  assert.equal((await operations[1].outcome).kind, 'confirmed');
  assert.deepEqual([...new Set(errors)], ['a mistake of the page']);
  const rows = bench.client.sagas().get();
  assert.deepEqual(
    rows.map(({ id, pending }) => [id, pending]),
    [
      ['o0', undefined],
      ['o1', undefined],
    ],
  );
});

test('an operation that is dropped leaves no timer behind', async () => {
  const { setTimeout: start, clearTimeout: clear } = globalThis;
  const timers = new Set();
  globalThis.setTimeout = (then, after, ...more) => {
    const timer = start(() => (timers.delete(timer), then()), after, ...more);
    timers.add(timer);
    return timer;
  };
  globalThis.clearTimeout = (timer) => (timers.delete(timer), clear(timer));
  try {
    const bench = createBench({ base: 1000, random: () => 1 });
    bench.snapshot('e-0');
    const place = () =>
      bench.client.mutate({ request: { url: '/' }, apply: (draft) => draft.saga({ type: 'order' }) });
    place();
    const accepted = place();
    (await bench.request(0)).reject(new TypeError('network'));
    const saga = { id: 'o', type: 'order', status: 'PENDING', version: 0 };
    (await bench.request(1)).resolve(json(202, { saga, cursor: 'e-1' }));
    await accepted.accepted;
    await turn();
    assert.equal(timers.size, 2, 'a pause before an attempt, and the wait for an event');
    bench.client.stop();
    assert.equal(timers.size, 0);
  } finally {
    Object.assign(globalThis, { setTimeout: start, clearTimeout: clear });
  }
});

test('a problem whose `retry_after` is not a number has the one of the header, or none', async () => {
  const answer = (headers) => json(503, { code: 'busy', retry_after: 'soon' }, headers);
  assert.equal((await readProblem(answer({}))).retryAfter, null);
  assert.equal((await readProblem(answer({ 'retry-after': '3' }))).retryAfter, 3);
});

// ---- how many at a time

test('sixty accepted sagas do not keep the page from sending another mutation', async () => {
  const bench = createBench();
  bench.snapshot('e-0');
  const place = () =>
    bench.client.mutate({ request: { url: '/' }, apply: (draft) => draft.saga({ type: 'order' }) });
  for (let at = 0; at < 60; at += 1) {
    const { id, accepted } = place();
    (await bench.request(at)).resolve(
      json(202, { saga: { id: `o${at}`, type: 'order', status: 'PENDING', version: 0 }, cursor: `e-${at}` }),
    );
    await accepted;
    bench.saga(`e-${at + 1}`, { id: `o${at}`, type: 'order', status: 'RUNNING', version: 1, mutation: id });
  }
  assert.equal(bench.client.sagas().get().length, 60);
});

// ---- TanStack Query

test('a saga event under a pending change invalidates the queries of the saga', async () => {
  const bench = createBench();
  bench.snapshot('e-0', [{ id: 'o', type: 'order', status: 'RUNNING', version: 1, mutation: 'm' }]);
  const invalidated = [];
  const queries = {
    setQueryData() {},
    invalidateQueries: async ({ queryKey }) => invalidated.push(queryKey.join()),
  };
  const leave = connectQueries(bench.client, queries, { invalidates: ({ id, version }) => [[id, version]] });
  const operation = bench.client.mutate({
    request: { url: '/cancel' },
    apply: (draft) => draft.saga({ id: 'o', type: 'order', reason: 'cancelling' }),
  });
  bench.saga('e-1', { id: 'o', type: 'order', status: 'RUNNING', version: 2, mutation: 'm' });
  assert.equal(bench.client.saga('o').get().pending, 'sending');
  operation.dismiss();
  assert.deepEqual(invalidated, ['o,2']);
  leave();
});

// ---- the store

const row = (id, version, status = 'RUNNING') => ({ id, type: 'order', status, version });
const value = (name, version) => ({ name, version, data: { version }, at: '' });
const state = (cursor, sagas = [], values = []) => ({
  type: 'snapshot',
  id: cursor,
  data: { cursor, sagas, values },
});

test('a new epoch replaces higher versions, also after the position was dropped', () => {
  const store = createStore();
  store.apply(state('e-1', [], [value('stock/a', 9), value('stock/b', 9)]));
  store.forget();
  store.apply(state('f-1', [], [value('stock/a', 2)]));
  assert.equal(store.state.values.get('stock/a').version, 2);
  assert.equal(
    store.apply({ type: 'value', id: '', data: value('stock/b', 3) }),
    'applied',
    'a value event after the snapshot',
  );
  assert.equal(store.state.values.get('stock/b').version, 3);
  assert.equal(store.apply({ type: 'value', id: '', data: value('stock/b', 2) }), 'repeated');
});

test('of values without a subscriber only the newest 500 are kept', () => {
  const store = createStore({ isFollowed: (name) => name === 'stock/0' });
  for (let at = 0; at < 2000; at += 1) store.apply({ type: 'value', id: '', data: value(`stock/${at}`, 1) });
  assert.ok(store.state.values.size <= 500, `${store.state.values.size} are kept`);
  assert.ok(store.state.values.has('stock/0'), 'a value with a subscriber stays');
  assert.ok(store.state.values.has('stock/1999'));
});

test('sagas are bounded, also where none has ended and where their events have no position', () => {
  const store = createStore();
  store.apply(state('e-0'));
  for (let at = 1; at <= 1500; at += 1) store.apply({ type: 'saga', id: `e-${at}`, data: row(`o${at}`, 1) });
  for (let at = 1; at <= 1500; at += 1) store.apply({ type: 'saga', id: '', data: row(`p${at}`, 1) });
  assert.equal(store.state.sagas.size, 1000);
  assert.ok(store.state.sagas.has('p1500'));
});

// ---- where it runs

/** Run `play` without this member of `crypto`: a page on plain HTTP has no `randomUUID`. */
async function withoutRandomUUID(play) {
  const own = Object.getOwnPropertyDescriptor(Crypto.prototype, 'randomUUID');
  delete Crypto.prototype.randomUUID;
  try {
    assert.equal(crypto.randomUUID, undefined);
    await play();
  } finally {
    Object.defineProperty(Crypto.prototype, 'randomUUID', own);
  }
}

test('on a page with plain HTTP the client works, and its keys are random UUIDs', () =>
  withoutRandomUUID(async () => {
    createClient({ url: 'http://192.168.0.10/bff/live', storage: null });
    const bench = createBench();
    bench.snapshot('e-0');
    const { id } = bench.client.mutate({ request: { url: '/' }, apply() {} });
    assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  }));

test('on a server, where there is no page, a client can be created and is empty', () => {
  const client = createClient();
  assert.equal(client.connection.get(), 'stopped');
  assert.deepEqual(client.sagas().get(), []);
  client.stop();
});

// ---- after a reload

test('an interrupted mutation that is defined after `start` is resumed, once', async () => {
  const storage = memoryStorage();
  const kind = {
    request: (input) => ({ url: '/api/orders', body: input }),
    apply: (draft) => draft.saga({ type: 'order' }),
  };
  const before = createBench({ storage });
  before.client.start({ userId: 'ada' });
  const operation = before.client.define('place', kind)({ quantity: 3 });

  const after = createBench({ storage });
  assert.deepEqual(after.client.start({ userId: 'ada' }), []);
  const restored = [];
  after.client.onRestored(({ id }) => restored.push(id));
  after.client.define('place', kind);
  assert.deepEqual(restored, [operation.id]);
  const request = await after.request();
  assert.equal(request.init.headers['Idempotency-Key'], `"${operation.id}"`);
  after.client.define('place', kind);
  await turn();
  assert.equal(after.requests.length, 1);
});

// ---- our own errors are not the network's

/** The messages of the errors that are reported as uncaught while `play` runs. */
async function reported(play) {
  const { queueMicrotask } = globalThis;
  const errors = [];
  globalThis.queueMicrotask = (report) => {
    try {
      report();
    } catch (error) {
      errors.push(error);
    }
  };
  try {
    await play();
  } finally {
    globalThis.queueMicrotask = queueMicrotask;
  }
  return errors.map((error) => error.message);
}

test('a request that cannot be written as JSON throws, and no row is left', () => {
  const bench = createBench();
  const body = {};
  body.itself = body;
  const place = () =>
    bench.client.mutate({ request: { url: '/', body }, apply: (draft) => draft.saga({ type: 'order' }) });
  assert.throws(place, /circular/);
  assert.deepEqual(bench.client.sagas().get(), []);
  assert.equal(bench.requests.length, 0);
});

test('a `fetch` that throws a ReferenceError is called once, and the error is reported', async () => {
  let calls = 0;
  const fetch = () => {
    calls += 1;
    throw new ReferenceError('token is not defined');
  };
  const client = createClient({
    url: 'http://127.0.0.1:1/',
    storage: null,
    fetch,
    mutations: { base: 0.001 },
  });
  let outcome;
  const errors = await reported(async () => {
    ({ outcome } = client.mutate({ request: { url: '/' }, apply() {} }));
    outcome = await outcome;
  });
  assert.equal(outcome.kind, 'unknown');
  assert.equal(outcome.problem.code, 'client-error');
  assert.deepEqual([errors, calls], [['token is not defined'], 1]);
});

/** A stream that gets the answers of `answer`, and the times of its joins. */
function stream(answer, options = {}) {
  const joins = [];
  const source = createStream({
    url: '/bff/live',
    base: 0.005,
    cap: 0.3,
    cursor: () => null,
    onEvent() {},
    fetch: async () => (joins.push(performance.now()), answer()),
    ...options,
  });
  return { source, joins };
}

const sse = (text) =>
  new Response(new ReadableStream({ start: (to) => to.enqueue(new TextEncoder().encode(text)) }), {
    headers: { 'content-type': 'text/event-stream' },
  });

for (const mistake of [new TypeError('a mistake of ours'), new RangeError('a mistake of ours')])
  test(`a listener that throws a ${mistake.name} does not end the stream, and its error is reported`, async () => {
    const { source, joins } = stream(() => sse('event: saga\ndata: {}\n\nevent: beat\ndata: {}\n\n'), {
      onEvent({ type }) {
        if (type === 'saga') throw mistake;
        done();
      },
    });
    let done = () => {};
    const beat = new Promise((resolve) => (done = resolve));
    const errors = await reported(async () => {
      source.start();
      await beat;
      await new Promise((resolve) => setTimeout(resolve, 50));
    });
    assert.deepEqual(errors, ['a mistake of ours']);
    assert.deepEqual([joins.length, source.state.get(), source.fault.get()], [1, 'live', null]);
    source.stop();
  });

test('a stream whose address is not found has a fault, and is tried again only after the longest pause', async () => {
  const { source, joins } = stream(() => new Response('', { status: 404 }), { random: () => 1 });
  const faults = [];
  source.fault.subscribe((fault) => faults.push(fault));
  source.start();
  const deadline = Date.now() + 60_000;
  while (joins.length < 3 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 5));
  source.stop();
  assert.equal(faults[0], 'not-found');
  assert.ok(joins[1] - joins[0] > 250 && joins[2] - joins[1] > 250, `${joins}`);
});

test('the fault of an address that is not found ends with the next answer that is another one', async () => {
  const statuses = [404, 503];
  const { source, joins } = stream(() => new Response('', { status: statuses.shift() ?? 503 }), {
    cap: 0.02,
  });
  const faults = [];
  source.fault.subscribe((fault) => faults.push(fault));
  source.start();
  const deadline = Date.now() + 60_000;
  while (joins.length < 3 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 2));
  assert.deepEqual(faults, ['not-found', null]);
  source.stop();
});

// ---- more values than one stream carries

test('of more than 50 values the last ones wait until other subscriptions end, and an error is reported', async () => {
  const bench = createBench();
  const followed = () => bench.calls.findLast(([call]) => call === 'follow').slice(1);
  const leaves = [];
  const errors = await reported(() => {
    for (let at = 0; at < 53; at += 1) leaves.push(bench.client.subscribe([`stock/${at}`]));
  });
  await turn();
  assert.equal(followed().length, 50);
  assert.deepEqual([...new Set(errors)], ['more than 50 values are subscribed to']);
  leaves[0]();
  leaves[1]();
  await turn();
  assert.deepEqual(followed().slice(-2), ['stock/50', 'stock/51']);
});

// ---- the end

test('a disposed client has no listener and no stream left', async () => {
  const page = new EventTarget();
  const listeners = new Map();
  const count = (change) => (type, listener) => {
    listeners.set(type, (listeners.get(type) ?? 0) + change);
    page[change > 0 ? 'addEventListener' : 'removeEventListener'](type, listener);
  };
  Object.assign(globalThis, { addEventListener: count(1), removeEventListener: count(-1) });
  try {
    for (const source of [undefined, createStream]) {
      const client = createClient({
        url: 'http://127.0.0.1:1/bff/live',
        storage: null,
        stream: { share: 'none', base: 60 },
        ...(source && { source }),
      });
      client.onSessionChange(() => {});
      client.start({ userId: 'ada' });
      const operation = client.mutate({ request: { url: 'http://127.0.0.1:1/' }, apply() {} });
      client.dispose();
      assert.equal((await operation.settled).kind, 'unknown');
      assert.equal(client.connection.get(), 'stopped');
      assert.throws(() => client.start({ userId: 'ada' }), /disposed/);
      const late = client.mutate({ request: { url: 'http://127.0.0.1:1/' }, apply() {} });
      assert.deepEqual((await late.settled).problem.status, 401, 'nothing is sent any more');
      client.dispose(); // a second time
    }
    assert.deepEqual(
      [...listeners].filter(([, left]) => left !== 0),
      [],
    );
    assert.ok(listeners.size >= 5);
  } finally {
    delete globalThis.addEventListener;
    delete globalThis.removeEventListener;
  }
});

test('a listener that stops the client while it starts leaves no channel open', async () => {
  const { BroadcastChannel: Real } = globalThis;
  const open = new Set();
  globalThis.BroadcastChannel = class extends Real {
    constructor(name) {
      super(name);
      open.add(this);
    }
    close() {
      open.delete(this);
      super.close();
    }
  };
  try {
    const source = createSharedStream({
      url: 'http://127.0.0.1:1/bff/live',
      share: 'none',
      base: 60,
      cursor: () => null,
      onEvent() {},
    });
    const states = [];
    source.state.subscribe((state) => {
      states.push(state);
      if (state === 'connecting') source.stop();
    });
    source.start('ada');
    await turn();
    await turn();
    assert.deepEqual(states, ['connecting', 'stopped']);
    assert.equal(open.size, 0);
  } finally {
    globalThis.BroadcastChannel = Real;
  }
});

// ---- two deployments in one browser

test('the name of the protocol follows from its messages', async () => {
  const text = await readFile(new URL('../../web/client/protocol.js', import.meta.url), 'utf8');
  const messages = text.replace(/^export const PROTOCOL = .*$/m, '');
  const fingerprint = createHash('sha256').update(messages).digest('hex').slice(0, 8);
  assert.equal(PROTOCOL, `bff-live-${fingerprint}`);
});

test('a worker of another deployment runs no hub for tabs with another protocol', () => {
  assert.equal(runWorkerHub('bff-live-00000000 https://shop.example/client/tabs.js /bff/live 0'), null);
  const end = runWorkerHub(`${PROTOCOL} https://shop.example/client/tabs.js /bff/live 0`);
  assert.equal(typeof end, 'function');
  end();
});

// ---- tabs that crashed

test('the values of a tab that crashed are no longer requested once its lock is free', () => {
  const followed = [];
  const posted = [];
  const free = new Map();
  const hub = createHub({
    post: (to, message) => posted.push([to, message.kind]),
    watch: (lock, gone) => free.set(lock, gone),
    source: () => ({
      state: createCell('live'),
      start() {},
      stop() {},
      reconnect() {},
      wake() {},
      user: () => 'ada',
      follow: (names) => followed.push([...names]),
    }),
  });
  const join = (tab, names) =>
    hub.onMessage(tab, {
      kind: 'join',
      userId: 'ada',
      cursor: null,
      names,
      lock: `lock of ${tab}`,
      settings: { url: '/bff/live' },
    });
  join(
    'crashed',
    Array.from({ length: 50 }, (_, at) => `stock/${at}`),
  );
  join('living', ['stock/mug']);
  free.get('lock of crashed')();
  assert.deepEqual(followed.at(-1), ['stock/mug']);
  free.get('lock of crashed')(); // a second time
  const before = posted.length;
  hub.close(); // another hub follows
  free.get('lock of living')();
  assert.equal(posted.length, before, 'a closed hub sends nothing');
  assert.equal(posted.filter(([to]) => to.includes('crashed')).length, 1, 'it gets no message any more');
});

// ---- sharing

test('a tab without a shared worker tries it again after a minute, and shares once it works', async () => {
  const { setTimeout: real } = globalThis;
  const recoveries = [];
  // The minute until it is tried again is over when this test says so.
  globalThis.setTimeout = (then, after, ...more) =>
    after === 60_000 ? (recoveries.push(then), real(() => {}, 0)) : real(then, after, ...more);
  const opened = [];
  class Broken {
    constructor() {
      throw new Error('a policy forbids it');
    }
  }
  class Working {
    constructor(url, { name }) {
      opened.push(name);
    }
  }
  globalThis.SharedWorker = Broken;
  const source = createSharedStream({
    url: 'http://127.0.0.1:1/bff/live',
    heartbeat: 0.1,
    base: 60,
    cursor: () => null,
    onEvent() {},
  });
  try {
    source.start('ada');
    const deadline = Date.now() + 60_000;
    while (recoveries.length < 1 && Date.now() < deadline) await new Promise((resolve) => real(resolve, 2));
    globalThis.SharedWorker = Working;
    recoveries.at(-1)();
    while (opened.length < 1 && Date.now() < deadline) await new Promise((resolve) => real(resolve, 2));
    assert.match(opened[0], / worker$/);
  } finally {
    globalThis.setTimeout = real;
    delete globalThis.SharedWorker;
    source.stop();
  }
});
