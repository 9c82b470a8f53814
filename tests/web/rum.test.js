/** What the monitor measures and reports, with a clock, frames and performance entries that the test controls. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createClient } from '../../web/client/index.js';
import { createMonitor, watchVitals } from '../../web/client/rum.js';
import { createCell } from '../../web/client/observable.js';
import { json, turn } from './bench.js';

const TYPES = ['event', 'first-input', 'largest-contentful-paint', 'layout-shift'];
const HEX = /^00-([0-9a-f]{32})-([0-9a-f]{16})-03$/;

/** A page: its clock, frames, entries, visibility, and the requests that the monitor sends. */
function open(t, { types = TYPES, share = null } = {}) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let now = 1000;
  let frames = [];
  const observers = [];
  const listeners = [];
  const page = {
    sent: [],
    status: 204,
    event: undefined,
    hidden: false,
    pass(milliseconds) {
      now += milliseconds;
      t.mock.timers.tick(milliseconds);
    },
    /** The next frame, painted `milliseconds` from now. */
    async paint(milliseconds = 16) {
      page.pass(milliseconds);
      for (const frame of frames.splice(0)) frame(now);
      for (let n = 0; n < 5; n++) await turn(); // the channel's message
    },
    entry(type, entry) {
      for (const { seen, observed } of observers) if (observed === type) seen({ getEntries: () => [entry] });
    },
    hide(hidden = true) {
      page.hidden = hidden;
      for (const listener of listeners) listener();
    },
    reports: () => page.sent.map(({ body }) => body),
  };
  class Observer {
    static supportedEntryTypes = types;
    constructor(seen) {
      this.seen = seen;
    }
    observe({ type, buffered }) {
      assert.ok(buffered);
      observers.push({ seen: this.seen, observed: type });
    }
  }
  const globals = {
    PerformanceObserver: Observer,
    requestAnimationFrame: (frame) => frames.push(frame),
    document: {
      baseURI: 'https://shop.test/orders',
      get visibilityState() {
        return page.hidden ? 'hidden' : 'visible';
      },
      addEventListener: (type, listener) => type === 'visibilitychange' && listeners.push(listener),
    },
    fetch(url, init) {
      page.sent.push({ url, ...init, body: JSON.parse(init.body) });
      return Promise.resolve(new Response(null, { status: page.status }));
    },
  };
  /** What the test replaces, to be put back. */
  const before = {};
  for (const [name, value] of Object.entries(globals)) {
    before[name] = Object.getOwnPropertyDescriptor(globalThis, name);
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
  before.event = Object.getOwnPropertyDescriptor(globalThis, 'event');
  Object.defineProperty(globalThis, 'event', { get: () => page.event, configurable: true });
  t.mock.method(performance, 'now', () => now);
  t.mock.method(performance, 'getEntriesByType', () =>
    share === null
      ? [{ serverTiming: [] }]
      : [{ serverTiming: [{ name: 'bff-browser', description: share }] }],
  );
  t.after(() => {
    for (const [name, descriptor] of Object.entries(before))
      if (descriptor) Object.defineProperty(globalThis, name, descriptor);
      else delete globalThis[name];
  });
  return page;
}

/** A client with this monitor, and its requests and events. */
function connect(monitor) {
  const requests = [];
  let push;
  const client = createClient({
    monitor,
    storage: null,
    fetch: (url, init) => new Promise((resolve) => requests.push({ url, init, resolve })),
    source: ({ onEvent }) => {
      push = onEvent;
      return {
        state: createCell('live'),
        start() {},
        stop() {},
        follow() {},
        reconnect() {},
      };
    },
  });
  push({ type: 'snapshot', id: 'e-0', data: { cursor: 'e-0', sagas: [], values: [] } });
  let offset = 0;
  return {
    client,
    requests,
    place: (more = {}) =>
      client.mutate({
        request: { url: '/api/orders?x=1', body: {}, ...more },
        apply: (draft) => draft.saga({ type: 'order', data: {} }),
      }),
    async answer(mutation, n = 0) {
      requests[n].resolve(
        json(202, {
          mutation,
          saga: { id: 'o1', type: 'order', status: 'PENDING', version: 0 },
          cursor: 'e-1',
        }),
      );
      for (let turns = 0; turns < 5; turns++) await turn();
    },
    saga(mutation, version, status) {
      const data = { id: 'o1', type: 'order', status, step: null, attempt: 1, version, mutation, data: {} };
      push({ type: 'saga', id: `e-${(offset += 1)}`, data });
    },
  };
}

test('an order is measured from the click until each of its phases was painted, and reported once', async (t) => {
  const page = open(t);
  const { place, answer, saga, requests } = connect(createMonitor({ sample: 1 }));
  page.event = { timeStamp: 990 }; // the click waited 10 ms for its listener
  const { id } = place();
  page.event = undefined;
  await page.paint(16);
  page.pass(100);
  await answer(id);
  await page.paint(16);
  page.pass(1000);
  saga(id, 0, 'PENDING');
  saga(id, 1, 'RUNNING');
  await page.paint();
  saga(id, 2, 'COMPLETED');
  await page.paint(16);
  assert.deepEqual(page.sent, [], 'reports wait for others');
  page.pass(5000);
  const [report] = page.sent;
  assert.equal(report.url, '/bff/browser');
  assert.equal(report.method, 'POST');
  assert.equal(report.keepalive, true);
  assert.equal(report.headers['X-BFF'], '1');
  const phases = { optimistic: 26, answer: 142, final: 1174 };
  const mutation = { id, method: 'POST', path: '/api/orders', outcome: 'confirmed', phases, age: 6174 };
  assert.deepEqual(report.body, { mutations: [mutation], screens: [] });
  const traceparent = requests[0].init.headers.traceparent;
  assert.deepEqual(HEX.exec(traceparent).slice(1), [
    id.replaceAll('-', ''),
    id.replaceAll('-', '').slice(16),
  ]);
  page.pass(120_000);
  page.hide();
  assert.equal(page.sent.length, 1);
});

test("the browser's own entry counts where its frame was later", async (t) => {
  const page = open(t);
  const { place } = connect(createMonitor({ sample: 1 }));
  page.event = { timeStamp: 990 };
  place();
  page.entry('event', { startTime: 950, duration: 999 }); // of another event
  page.entry('event', { startTime: 990, duration: 48 });
  await page.paint(16);
  page.hide();
  assert.deepEqual(page.reports()[0].mutations[0].phases, { optimistic: 48 });
});

test('an entry that is shorter than what was measured changes nothing, whenever it comes', async (t) => {
  const page = open(t);
  const { place } = connect(createMonitor({ sample: 1 }));
  place();
  page.entry('event', { startTime: 1000, duration: 16 });
  await page.paint(40);
  page.entry('event', { startTime: 1000.4, duration: 16 });
  page.hide();
  assert.deepEqual(page.reports()[0].mutations[0].phases, { optimistic: 40 });
});

test('a plain command is answered and at its end in the same frame', async (t) => {
  const page = open(t);
  const { place, requests } = connect(createMonitor({ sample: 1 }));
  place({ method: 'DELETE' });
  await page.paint(16);
  requests[0].resolve(new Response(null, { status: 204 }));
  for (let turns = 0; turns < 5; turns++) await turn();
  await page.paint(20);
  page.pass(5000);
  const [{ method, phases, outcome }] = page.reports()[0].mutations;
  assert.deepEqual(
    [method, phases, outcome],
    ['DELETE', { optimistic: 16, answer: 36, final: 36 }, 'confirmed'],
  );
});

test('a refused command is painted, too', async (t) => {
  const page = open(t);
  const { place, requests } = connect(createMonitor({ sample: 1 }));
  place();
  await page.paint(16);
  requests[0].resolve(json(422, { title: 'x', detail: 'x', status: 422, code: 'x' }));
  for (let turns = 0; turns < 5; turns++) await turn();
  await page.paint(20);
  page.pass(5000);
  const [{ phases, outcome }] = page.reports()[0].mutations;
  assert.deepEqual([phases, outcome], [{ optimistic: 16, answer: 36, final: 36 }, 'rejected']);
});

test('an attempt without an answer is no phase; the retry belongs to the same trace', async (t) => {
  const page = open(t);
  const { place, requests, answer } = connect(createMonitor({ sample: 1 }));
  const { id, retry } = place();
  await page.paint(16);
  requests[0].resolve(new Response(null, { status: 503 }));
  for (let turns = 0; turns < 5; turns++) await turn();
  await page.paint(16);
  retry();
  await answer(id, 1);
  await page.paint(16);
  page.hide();
  assert.deepEqual(page.reports()[0].mutations[0].phases, { optimistic: 16, answer: 48 });
  const [first, second] = requests.map(({ init }) => init.headers.traceparent);
  assert.equal(first, second);
});

test('what takes longer than a minute is reported without its end', async (t) => {
  const page = open(t);
  const { place, answer, saga } = connect(createMonitor({ sample: 1 }));
  const { id } = place();
  await page.paint(16);
  await answer(id);
  await page.paint(16);
  page.pass(60_000);
  page.pass(5000);
  saga(id, 0, 'PENDING');
  saga(id, 1, 'COMPLETED');
  await page.paint(16);
  page.pass(5000);
  const [{ phases, outcome, age }, ...others] = page.reports().flatMap(({ mutations }) => mutations);
  assert.deepEqual([phases, outcome, others], [{ optimistic: 16, answer: 32 }, 'accepted', []]);
  assert.ok(age <= 120_000);
});

test('a hidden page reports at once what it has, and measures nothing', async (t) => {
  const page = open(t);
  const { place, saga } = connect(createMonitor({ sample: 1 }));
  const { id } = place();
  await page.paint(16);
  page.hide();
  assert.deepEqual(page.reports()[0].mutations[0].phases, { optimistic: 16 });
  place();
  page.hide(false);
  saga(id, 0, 'COMPLETED');
  await page.paint(90_000);
  page.hide();
  assert.equal(page.sent.length, 1);
});

test('a frame that waits until the page is shown again is not measured', async (t) => {
  const page = open(t);
  const { place } = connect(createMonitor({ sample: 1 }));
  place();
  page.hide();
  page.hide(false);
  await page.paint(9000);
  page.hide();
  assert.deepEqual(page.sent, [], 'nothing was measured');
});

test('a page that tells its commits is measured from them', async (t) => {
  const page = open(t);
  const monitor = createMonitor({ sample: 1, manual: true });
  const { place } = connect(monitor);
  place();
  page.entry('event', { startTime: 1000, duration: 16 });
  await page.paint(16);
  await page.paint(16);
  monitor.committed();
  monitor.committed();
  await page.paint(16);
  page.hide();
  assert.deepEqual(page.reports()[0].mutations[0].phases, { optimistic: 48 });
});

test('without a share nothing is traced, observed or sent; the page of the gateway has one', async (t) => {
  const page = open(t);
  const off = createMonitor({ vitals: watchVitals });
  const { place, requests } = connect(off);
  off.screen('/api/screens/orders');
  place();
  await page.paint();
  page.hide();
  assert.equal(off.traceparent(), undefined);
  assert.ok(!('traceparent' in requests[0].init.headers));
  assert.deepEqual(page.sent, []);
});

test('the share that the gateway asks its page for decides where the page names none', (t) => {
  open(t, { share: '1' });
  assert.match(createMonitor().traceparent(), HEX);
  assert.equal(createMonitor({ sample: 0 }).traceparent(), undefined);
});

test('a share is met, and every attempt of a mutation gets the same answer', (t) => {
  open(t);
  const monitor = createMonitor({ sample: 0.25 });
  const sampled = Array.from({ length: 4000 }, () => monitor.traceparent()).filter(Boolean).length;
  assert.ok(sampled > 800 && sampled < 1200, `${sampled} of 4000`);
  const id = crypto.randomUUID();
  assert.equal(new Set(Array.from({ length: 20 }, () => monitor.traceparent(id))).size, 1);
});

test('what is not sampled is neither measured nor sent', async (t) => {
  const page = open(t);
  const { place, requests } = connect(createMonitor({ sample: 1e-9 }));
  place();
  await page.paint();
  page.hide();
  assert.ok(!('traceparent' in requests[0].init.headers));
  assert.deepEqual(page.sent, []);
});

test('a gateway without the route is asked once; other failures do not end the reports', async (t) => {
  const page = open(t);
  const monitor = createMonitor({ sample: 1, prefix: '/desk' });
  const { place } = connect(monitor);
  for (const status of [503, 429, 404, 204]) {
    page.status = status;
    place();
    await page.paint();
    page.hide();
    page.hide(false);
    await turn();
  }
  assert.deepEqual(
    page.sent.map(({ url }) => url),
    ['/desk/bff/browser', '/desk/bff/browser', '/desk/bff/browser'],
  );
  assert.equal(monitor.traceparent(), undefined);
});

test('at most fifty mutations are measured at a time', async (t) => {
  const page = open(t);
  const monitor = createMonitor({ sample: 1 });
  const progress = createCell({ phase: 'sending' });
  for (let n = 0; n < 60; n++) monitor.begin({ id: crypto.randomUUID(), progress }, { url: '/api/orders' });
  await page.paint();
  page.hide();
  assert.equal(page.reports()[0].mutations.length, 50);
});

test('web vitals are reported for each visit of a screen', (t) => {
  const page = open(t);
  const monitor = createMonitor({ sample: 1, vitals: watchVitals });
  page.entry('largest-contentful-paint', { startTime: 400 });
  monitor.screen('/api/screens/products');
  page.entry('largest-contentful-paint', { startTime: 640 });
  for (const [value, startTime, hadRecentInput] of [
    [0.1, 100, false],
    [0.05, 900, false],
    [0.9, 950, true], // the person caused it
    [0.02, 3000, false], // another window
  ])
    page.entry('layout-shift', { value, startTime, hadRecentInput });
  for (const [interactionId, duration] of [
    [7, 24],
    [8, 96],
    [9, 40],
    [0, 900], // no interaction
  ])
    page.entry('event', { interactionId, duration, startTime: 1 });
  monitor.screen('/api/screens/orders');
  page.entry('largest-contentful-paint', { startTime: 9000 });
  page.entry('first-input', { interactionId: 10, duration: 8, startTime: 2 });
  page.hide();
  page.hide(false);
  monitor.screen();
  page.hide();
  const [first, second, third] = page.reports().flatMap(({ screens }) => screens);
  assert.equal(Math.round(first.vitals.cls * 1000), 150);
  assert.deepEqual({ ...first.vitals, cls: 0 }, { lcp: 640, inp: 96, cls: 0 });
  assert.deepEqual(second, { path: '/api/screens/orders', vitals: { cls: 0, inp: 8 } });
  assert.deepEqual(third, { path: '/api/screens/orders', vitals: { cls: 0 } });
  assert.equal(page.reports().flatMap(({ screens }) => screens).length, 3);
});

test('a page that was opened in the background has no LCP, and a browser without the entries has no vitals', (t) => {
  const page = open(t, { types: ['largest-contentful-paint'] });
  page.hidden = true;
  const monitor = createMonitor({ sample: 1, vitals: watchVitals });
  monitor.screen('/api/screens/products');
  page.entry('largest-contentful-paint', { startTime: 9000 });
  page.entry('layout-shift', { value: 1, startTime: 1 });
  page.hide();
  assert.deepEqual(page.sent, []);
});

test('at most ten screens wait', (t) => {
  const page = open(t);
  const monitor = createMonitor({ sample: 1, vitals: watchVitals });
  for (let n = 0; n < 15; n++) monitor.screen('/api/screens/products');
  page.hide();
  assert.equal(page.reports()[0].screens.length, 10);
});

test('a monitor that throws does not stop the mutation', async (t) => {
  open(t);
  const monitor = {
    traceparent: () => undefined,
    begin() {
      throw new Error('a bug of the monitor');
    },
  };
  const reported = [];
  const onError = (error) => reported.push(error.message);
  const listeners = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.once('uncaughtException', onError);
  const { place, requests } = connect(monitor);
  place();
  for (let turns = 0; turns < 5; turns++) await turn();
  for (const listener of listeners) process.on('uncaughtException', listener);
  assert.equal(requests.length, 1);
  assert.deepEqual(reported, ['a bug of the monitor']);
});
