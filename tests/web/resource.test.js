import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';

import { createResource } from '../../web/shop/page/resource.js';

/** A document that can be hidden and shown. */
const page = Object.assign(new EventTarget(), { hidden: false });
Object.assign(globalThis, { document: page });

const problem = (status, retryAfter = null) => ({ status, retryAfter, title: 'x', code: 'x', errors: [] });
const refused = (status, retryAfter) => Object.assign(new Error(), { problem: problem(status, retryAfter) });
const settle = () => new Promise((resolve) => setImmediate(resolve));
const missing = (retry_after = null) => ({ state: 'missing', retry_after });

/** A resource whose requests the test answers, one after the other. */
function createRig(options = {}) {
  const requests = [];
  let changes = 0;
  const resource = createResource(
    (signal) => new Promise((resolve, reject) => requests.push({ signal, resolve, reject })),
    { changed: () => (changes += 1), ...options },
  );
  return { resource, requests, changes: () => changes };
}

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ['setTimeout'] });
  page.hidden = false;
});

test('data stays while it is requested again, and is stale until the answer', async () => {
  const { resource, requests } = createRig();
  resource.reload();
  assert.deepEqual([resource.data, resource.stale], [null, false]);
  requests[0].resolve('first');
  await settle();
  assert.deepEqual([resource.data, resource.stale], ['first', false]);
  resource.reload();
  assert.deepEqual([resource.data, resource.stale], ['first', true]);
  requests[1].resolve('second');
  await settle();
  assert.deepEqual([resource.data, resource.stale], ['second', false]);
});

test('a failure is a problem beside the old data, and the next answer ends it', async () => {
  const { resource, requests } = createRig({ initial: 'old' });
  resource.reload();
  requests[0].reject(refused(404));
  await settle();
  assert.deepEqual([resource.data, resource.stale, resource.problem?.status], ['old', true, 404]);
  resource.reload();
  assert.equal(resource.problem?.status, 404, 'the problem is shown until there is an answer');
  requests[1].resolve('new');
  await settle();
  assert.deepEqual([resource.data, resource.stale, resource.problem], ['new', false, null]);
});

test('reloads during a request are one request after it', async () => {
  const { resource, requests } = createRig();
  for (let turn = 0; turn < 5; turn += 1) resource.reload();
  assert.equal(requests.length, 1);
  requests[0].resolve(1);
  await settle();
  assert.equal(requests.length, 2);
  requests[1].resolve(2);
  await settle();
  assert.deepEqual([resource.data, requests.length], [2, 2]);
});

test('after abort nothing arrives: the request is cancelled and nothing is retried', async () => {
  const { resource, requests, changes } = createRig();
  resource.reload();
  const before = changes();
  resource.abort();
  assert.equal(requests[0].signal.aborted, true);
  requests[0].resolve('late');
  await settle();
  assert.deepEqual([resource.data, changes()], [null, before]);

  resource.reload();
  requests[1].reject(refused(503, 3));
  await settle();
  resource.abort();
  mock.timers.tick(60_000);
  await settle();
  assert.equal(requests.length, 2);
});

test('missing parts and passing failures are requested again at the time that they name, five times', async () => {
  const { resource, requests } = createRig({ parts: (data) => data });
  resource.reload();
  requests[0].resolve([missing(3), missing(30), { state: 'ready' }]);
  await settle();
  assert.equal(resource.waiting, true);
  mock.timers.tick(2_999);
  assert.equal(requests.length, 1);
  mock.timers.tick(1);
  assert.equal(requests.length, 2);
  requests[1].reject(refused(503, 0));
  await settle();
  mock.timers.tick(1_999);
  assert.equal(requests.length, 2, 'never sooner than after two seconds');
  for (let turn = 0; turn < 20; turn += 1) {
    mock.timers.tick(10_000);
    requests.at(-1)?.reject(refused(0));
    await settle();
  }
  assert.equal(requests.length, 6);
  resource.reload();
  requests[6].resolve([{ state: 'ready' }]);
  await settle();
  assert.equal(resource.waiting, false);
});

test('a refusal is not retried', async () => {
  const { resource, requests } = createRig();
  resource.reload();
  requests[0].reject(refused(404));
  await settle();
  mock.timers.tick(60_000);
  assert.deepEqual([requests.length, resource.waiting], [1, false]);
});

test('a hidden page retries when it is shown again', async () => {
  const { resource, requests } = createRig({ parts: (data) => data });
  resource.reload();
  requests[0].resolve([missing(3)]);
  await settle();
  page.hidden = true;
  mock.timers.tick(60_000);
  assert.equal(requests.length, 1);
  page.hidden = false;
  page.dispatchEvent(new Event('visibilitychange'));
  assert.equal(requests.length, 2);
});

test('a problem that is handled elsewhere is not shown', async () => {
  const { resource, requests } = createRig({ handled: ({ status }) => status === 401 });
  resource.reload();
  requests[0].reject(refused(401));
  await settle();
  assert.equal(resource.problem, null);
});
