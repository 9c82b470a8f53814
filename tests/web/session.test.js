/** The session helper: who is signed in, and when that changes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createSession, readProblem } from '../../web/client/index.js';
import { createBench, json, memoryStorage } from './bench.js';

const ADA = { iss: 'https://id.example', sub: 'ada', expires_in: 60 };

/**
 * A session of a gateway that answers `/bff/user` with the next of `answers` (the last one repeats): a user, null, an answer
 * or an error. asked: the requested addresses; visited: the opened addresses; heard: what subscribers got; ends: how often the
 * session ended.
 */
function ready(...answers) {
  const bench = createBench();
  const asked = [];
  const visited = [];
  const session = createSession(bench.client, {
    prefix: '/desk',
    pause: 0.001,
    attempts: 3,
    go: (url) => visited.push(url),
    fetch: async (url, init) => {
      asked.push(url);
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      if (init?.method === 'POST') return json(200, { redirect: 'https://id.example/logout' });
      if (answer instanceof Error) throw answer;
      return answer instanceof Response ? answer : json(200, answer);
    },
  });
  const heard = [];
  session.subscribe(({ status, user }) => heard.push(user?.sub ?? status));
  let ends = 0;
  session.onEnded(() => (ends += 1));
  return { bench, session, asked, visited, heard, ends: () => ends };
}

test('at the start the gateway is asked below the prefix, and the client follows the signed-in person', async () => {
  const { bench, session, asked, heard } = ready(ADA);
  assert.deepEqual(session.get(), { status: 'unknown', user: null, expiresAt: null });
  const before = Date.now();
  await session.start();
  assert.deepEqual(asked, ['/desk/bff/user?anonymous=1']);
  assert.deepEqual(heard, ['ada']);
  const { status, user, expiresAt } = session.get();
  assert.deepEqual([status, user], ['signed-in', ADA]);
  assert.ok(expiresAt >= before + 60_000 && expiresAt <= Date.now() + 60_000);
  assert.deepEqual(bench.calls, ['start']);
});

test('an anonymous visitor is signed out, keeps the values, and no session ends', async () => {
  const { bench, session, heard, ends } = ready(null);
  bench.value('stock/mug', 1, { left: 3 });
  await session.start();
  assert.deepEqual([heard, ends(), bench.calls], [['signed-out'], 0, []]);
  assert.equal(bench.client.value('stock/mug').get().data.left, 3);
});

test('a gateway that fails is asked again a few times; then `start` rejects, and the status stays unknown', async () => {
  const busy = () => json(503, { code: 'overloaded' });
  const well = ready(busy(), new TypeError('network'), ADA);
  await well.session.start();
  assert.equal(well.session.get().status, 'signed-in');
  const { session } = ready(new TypeError('network'));
  await assert.rejects(session.start(), /network/);
  assert.equal(session.get().status, 'unknown');
});

test('when the stream stops the gateway is asked once more: another tab may have signed in again', async () => {
  const { bench, session, heard, ends, asked } = ready(ADA);
  await session.start();
  bench.snapshot('e-0');
  bench.state.set('stopped');
  await session.refresh(); // the same request
  assert.deepEqual([heard, asked.length], [['ada', 'ada'], 2]);
  bench.state.set('live');
  bench.state.set('stopped');
  assert.deepEqual([heard, ends(), asked.length], [['ada', 'ada', 'signed-out'], 1, 2]);
  assert.equal(session.get().user, null);
});

test('`onEnded` is called once for a session that ended in another tab, and not after a sign-out here', async () => {
  const elsewhere = ready(ADA, null);
  await elsewhere.session.start();
  await elsewhere.session.refresh();
  elsewhere.session.ended();
  assert.deepEqual([elsewhere.heard, elsewhere.ends()], [['ada', 'signed-out'], 1]);

  const here = ready(ADA);
  await here.session.start();
  await here.session.signOut();
  assert.deepEqual([here.heard, here.ends()], [['ada', 'signed-out'], 0]);
  assert.deepEqual(here.visited, ['https://id.example/logout']);
  assert.equal(here.asked.at(-1), '/desk/bff/logout');
});

test('an answer that arrives after the sign-out, or after `dispose`, is ignored', async () => {
  for (const end of [(session) => session.signOut(), (session) => session.dispose()]) {
    let answer = () => {};
    const late = new Promise((resolve) => (answer = resolve));
    const bench = createBench();
    let requests = 0;
    const session = createSession(bench.client, {
      go() {},
      fetch: async (url, init) =>
        init?.method === 'POST' ? json(200, {}) : (requests += 1) === 1 ? json(200, ADA) : late,
    });
    await session.start();
    const starts = bench.calls.length;
    const refreshed = session.refresh();
    await end(session);
    const { status } = session.get();
    answer(json(200, { ...ADA, sub: 'grace' }));
    await refreshed;
    assert.equal(session.get().status, status);
    assert.notEqual(session.get().user?.sub, 'grace');
    assert.ok(!bench.calls.slice(starts).includes('start'));
  }
});

test('the end that the stream reports counts, and two requests at a time are one', async () => {
  const { bench, session, asked } = ready(ADA);
  await Promise.all([session.refresh(), session.refresh()]);
  assert.equal(asked.length, 1);
  const soon = Date.now() + 20_000;
  bench.push({ type: 'beat', id: '', data: { ends: soon } });
  assert.equal(session.get().expiresAt, soon);
});

test('a page from the back-forward cache asks again, and not after `dispose`', async () => {
  const page = new EventTarget();
  globalThis.addEventListener = page.addEventListener.bind(page);
  globalThis.removeEventListener = page.removeEventListener.bind(page);
  try {
    const { session, asked } = ready(ADA);
    await session.start();
    const show = () => page.dispatchEvent(Object.assign(new Event('pageshow'), { persisted: true }));
    show();
    await session.refresh(); // the same request
    assert.equal(asked.length, 2);
    session.dispose();
    show();
    assert.equal(asked.length, 2);
  } finally {
    delete globalThis.addEventListener;
    delete globalThis.removeEventListener;
  }
});

const CHALLENGE = {
  code: 'step-up-required',
  detail: 'This needs a sign-in of the last 300 seconds.',
  login: '/desk/bff/login?max_age=300',
};

test('a refused screen leads to the sign-in that it needs, and back to the page', async () => {
  const { session, visited } = ready(ADA);
  await session.start();
  const problem = await readProblem(json(401, CHALLENGE));
  assert.equal(session.stepUp(problem, { path: '/vault?tab=1' }), true);
  assert.deepEqual(visited, ['/desk/bff/login?max_age=300&return=%2Fvault%3Ftab%3D1']);
  assert.equal(session.stepUp(await readProblem(json(403, { code: 'forbidden' })), { path: '/' }), false);
  for (const login of ['https://evil.test/', '//evil.test', '/\\evil.test', 'javascript:alert(1)', 7, null])
    assert.equal((await readProblem(json(401, { ...CHALLENGE, login }))).login, null);
  assert.equal(visited.length, 1);
});

/** A page with a mutation `pay`, for a person whose storage outlives it. */
function page(storage) {
  const bench = createBench({ storage, stopped: true });
  const visited = [];
  const session = createSession(bench.client, {
    go: (url) => visited.push(url),
    fetch: async () => json(200, ADA),
  });
  const pay = bench.client.define('pay', {
    request: ({ amount }) => ({ url: '/api/pay', body: { amount } }),
    apply() {},
  });
  return { bench, session, pay, visited };
}

test('a refused command is taken up once after the return, with the same key', async () => {
  const storage = memoryStorage();
  const before = page(storage);
  await before.session.start();
  const operation = before.pay({ amount: 5 });
  (await before.bench.request()).resolve(json(401, CHALLENGE));
  const { kind, problem } = await operation.outcome;
  assert.deepEqual([kind, problem.code], ['rejected', 'step-up-required']);
  assert.equal(before.session.stepUp(problem, { path: '/vault', operation }), true);
  assert.equal(before.visited.length, 1);

  const after = page(storage);
  const restored = [];
  after.bench.client.onRestored((each) => restored.push(each.id));
  await after.session.start();
  const { init, resolve } = await after.bench.request();
  assert.equal(init.headers['Idempotency-Key'], `"${operation.id}"`);
  assert.deepEqual([JSON.parse(init.body), restored], [{ amount: 5 }, [operation.id]]);
  // It is refused again: the person did not sign in there. It is known that nothing was done, and it is given up.
  const again = after.bench.client.operation(operation.id);
  resolve(json(401, CHALLENGE));
  assert.equal((await again.outcome).kind, 'rejected');
  const later = page(storage);
  await later.session.start();
  assert.equal(later.bench.requests.length, 0);
});

test('a command that is not taken up is not sent again, and one without a name cannot be', async () => {
  const storage = memoryStorage();
  const before = page(storage);
  await before.session.start();
  const refused = before.pay({ amount: 5 });
  (await before.bench.request()).resolve(json(401, CHALLENGE));
  await refused.outcome;
  const once = before.bench.client.mutate({ request: { url: '/api/pay' }, apply() {} });
  (await before.bench.request(1)).resolve(json(401, CHALLENGE));
  const { problem } = await once.outcome;
  assert.equal(before.bench.client.takeUpLater(once), false);
  before.session.stepUp(problem, { path: '/', operation: once });
  const after = page(storage);
  await after.session.start();
  assert.equal(after.bench.requests.length, 0);
});
