/** Who is signed in, as a page follows it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createSession } from '../../web/client/index.js';
import { createBench, json } from './bench.js';

const ADA = { iss: 'https://id.example', sub: 'ada', expires_in: 60 };

/** A gateway that answers who is here with the next of `answers` (the last one repeats); and what the session told. */
function ready(...answers) {
  const bench = createBench();
  const asked = [];
  const gone = [];
  const session = createSession(bench.client, {
    prefix: '/desk',
    pause: 0.001,
    attempts: 3,
    go: (url) => gone.push(url),
    fetch: async (url, init) => {
      asked.push(url);
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      if (init?.method === 'POST') return json(200, { redirect: 'https://id.example/logout' });
      if (answer instanceof Error) throw answer;
      return answer instanceof Response ? answer : json(200, answer);
    },
  });
  const told = [];
  session.subscribe(({ status, user }) => told.push(user?.sub ?? status));
  let ends = 0;
  session.onEnded(() => (ends += 1));
  return { bench, session, asked, gone, told, ends: () => ends };
}

test('who is here is asked below the prefix, and the client follows that person', async () => {
  const { bench, session, asked, told } = ready(ADA);
  assert.deepEqual(session.get(), { status: 'unknown', user: null, expiresAt: null });
  const before = Date.now();
  await session.start();
  assert.deepEqual(asked, ['/desk/bff/user?anonymous=1']);
  assert.deepEqual(told, ['ada']);
  const { status, user, expiresAt } = session.get();
  assert.deepEqual([status, user], ['signed-in', ADA]);
  assert.ok(expiresAt >= before + 60_000 && expiresAt <= Date.now() + 60_000);
  assert.deepEqual(bench.calls, ['start']);
});

test('a visitor is an answer; what they were shown is kept, and nobody is told that a session ended', async () => {
  const { bench, session, told, ends } = ready(null);
  bench.value('stock/mug', 1, { left: 3 });
  await session.start();
  assert.deepEqual([told, ends(), bench.calls], [['signed-out'], 0, []]);
  assert.equal(bench.client.value('stock/mug').get().data.left, 3);
});

test('a gateway that cannot tell is asked again a few times; then the failure is told, and nobody is not assumed', async () => {
  const busy = () => json(503, { code: 'overloaded' });
  const well = ready(busy(), new TypeError('network'), ADA);
  await well.session.start();
  assert.equal(well.session.get().status, 'signed-in');
  const { session } = ready(new TypeError('network'));
  await assert.rejects(session.start(), /network/);
  assert.equal(session.get().status, 'unknown');
});

test('a stream that ends is doubted once: another tab may have signed in again', async () => {
  const { bench, session, told, ends, asked } = ready(ADA);
  await session.start();
  bench.snapshot('e-0');
  bench.state.set('stopped');
  await session.refresh(); // the same question
  assert.deepEqual([told, asked.length], [['ada', 'ada'], 2]);
  bench.state.set('live');
  bench.state.set('stopped');
  assert.deepEqual([told, ends(), asked.length], [['ada', 'ada', 'signed-out'], 1, 2]);
  assert.equal(session.get().user, null);
});

test('a session that ended in another tab is told once; signing out here is not news', async () => {
  const elsewhere = ready(ADA, null);
  await elsewhere.session.start();
  await elsewhere.session.refresh();
  elsewhere.session.ended();
  assert.deepEqual([elsewhere.told, elsewhere.ends()], [['ada', 'signed-out'], 1]);

  const here = ready(ADA);
  await here.session.start();
  await here.session.signOut();
  assert.deepEqual([here.told, here.ends()], [['ada', 'signed-out'], 0]);
  assert.deepEqual(here.gone, ['https://id.example/logout']);
  assert.equal(here.asked.at(-1), '/desk/bff/logout');
});

test('what the stream says of the end counts, and two questions at a time are one', async () => {
  const { bench, session, asked } = ready(ADA);
  await Promise.all([session.refresh(), session.refresh()]);
  assert.equal(asked.length, 1);
  const soon = Date.now() + 20_000;
  bench.push({ type: 'beat', id: '', data: { ends: soon } });
  assert.equal(session.get().expiresAt, soon);
});

test('a page that the browser kept asks anew; one that was disposed of does not', async () => {
  const page = new EventTarget();
  globalThis.addEventListener = page.addEventListener.bind(page);
  globalThis.removeEventListener = page.removeEventListener.bind(page);
  try {
    const { session, asked } = ready(ADA);
    await session.start();
    const show = () => page.dispatchEvent(Object.assign(new Event('pageshow'), { persisted: true }));
    show();
    await session.refresh(); // the same question
    assert.equal(asked.length, 2);
    session.dispose();
    show();
    assert.equal(asked.length, 2);
  } finally {
    delete globalThis.addEventListener;
    delete globalThis.removeEventListener;
  }
});
