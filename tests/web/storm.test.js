/**
 * Many mutations at once against a small model of the server, in thousands of random but repeatable orders of arrival:
 * answers delivered, lost and refused, events repeated, resets in both epochs.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as bff from '../../web/client/index.js';
import { createBench, dice, json, turn } from './bench.js';

const KEY = 'stock/mug';
const START = 20;

const FATES = {
  // the course of an order that the server has accepted
  confirmed: [
    ['PENDING', 0],
    ['RUNNING', 1],
    ['RUNNING', 0],
    ['COMPLETED', 0],
  ],
  compensated: [
    ['PENDING', 0],
    ['RUNNING', 1],
    ['COMPENSATING', -1],
    ['COMPENSATED', 0],
  ],
  rejected: [
    ['PENDING', 0],
    ['REJECTED', 0],
  ],
};

async function storm(seed) {
  const roll = dice(seed);
  const bench = createBench({ random: () => 0, linger: 0.6 });
  const server = { epoch: 1, journal: [], sagas: new Map(), left: START, version: 5, plans: [], held: [] };
  const reader = { offset: 0 };
  const value = () => ({
    name: KEY,
    version: server.version,
    data: { left: server.left },
    at: '',
    mutations: [...server.held],
  });
  const send = (type) => {
    reader.offset = server.journal.length;
    bench.snapshot(`${server.epoch}-${reader.offset}`, [...server.sagas.values()], [value()], type);
  };
  send('snapshot');

  /** The server accepts an order, once per key, and plans its course. */
  function take(operation) {
    const id = `order-${operation.id}`;
    if (!server.sagas.has(id)) {
      server.plans.push({ id, mutation: operation.id, steps: [...FATES[operation.fate]], version: 0 });
      step(server.plans.at(-1));
    }
    const { status, version } = server.sagas.get(id);
    return json(202, {
      saga: { id, type: 'order', status, version },
      cursor: `${server.epoch}-${server.journal.length}`,
    });
  }
  function step(plan) {
    const [status, taken] = plan.steps.shift();
    const saga = {
      id: plan.id,
      type: 'order',
      status,
      step: null,
      attempt: 1,
      version: (plan.version += 1),
      reason: null,
      mutation: plan.mutation,
      at: '',
      data: {},
    };
    server.sagas.set(plan.id, saga);
    server.journal.push(saga);
    if (taken !== 0) {
      server.left -= taken;
      server.version += 1;
      server.held.push(plan.mutation);
      bench.value(KEY, server.version, { left: server.left }, [...server.held]);
    }
  }
  function deliver() {
    if (reader.offset >= server.journal.length) return;
    reader.offset += 1;
    bench.saga(`${server.epoch}-${reader.offset}`, server.journal[reader.offset - 1]);
    if (roll(3) === 0) {
      const again = 1 + roll(reader.offset);
      bench.saga(`${server.epoch}-${again}`, server.journal[again - 1]);
    }
  }

  const operations = [];
  const refused = new Set();
  let asked = 0;
  const rows = bench.client.sagas();
  function look() {
    const mutations = rows.get().map((row) => row.mutation);
    assert.equal(new Set(mutations).size, mutations.length, 'no order twice');
    for (const operation of operations) {
      assert.ok(mutations.includes(operation.id) || refused.has(operation.id), 'no order vanishes');
    }
    const { left } = bench.client.value(KEY).get().data;
    assert.ok(
      left >= START - asked && left <= START,
      `${left} of ${START} with ${asked} asked for: nothing counts twice`,
    );
  }
  rows.subscribe(look);
  bench.client.value(KEY).subscribe(look);

  const waiting = [];
  const answered = new Set();
  function collect() {
    for (const request of bench.requests) {
      if (!answered.has(request)) {
        answered.add(request);
        const id = request.init.headers['Idempotency-Key'].slice(1, -1);
        waiting.push({ request, operation: operations.find((operation) => operation.id === id) });
      }
    }
  }
  /** One answer: lost before or after the server accepted it, delivered, or refused. @param {boolean} honest */
  function reply(honest) {
    const [{ request, operation }] = waiting.splice(roll(waiting.length), 1);
    if (operation.refuse) {
      if (!honest && roll(3) === 0) return request.reject(new TypeError('network'));
      refused.add(operation.id);
      return request.resolve(json(422, { title: 'no', code: 'no' }));
    }
    const what = honest ? 2 : roll(4);
    if (what === 0) return request.reject(new TypeError('network'));
    const answer = take(operation);
    if (what === 1) return request.resolve(json(502, { title: 'lost on the way' }));
    return request.resolve(answer);
  }

  const fates = Object.keys(FATES);
  for (let tick = 0; tick < 60; tick += 1) {
    const choice = roll(12);
    if (choice < 2 && operations.length < 5) {
      const fate = fates[roll(3)];
      const refuse = roll(5) === 0;
      asked += 1;
      const operation = bench.client.mutate({
        request: { url: '/' },
        apply(draft) {
          draft.saga({ type: 'order' });
          draft.value(KEY, (data) => ({ left: data.left - 1 }));
        },
      });
      operations.push(Object.assign(operation, { fate, refuse }));
    } else if (choice < 5 && waiting.length > 0) reply(false);
    else if (choice < 7 && server.plans.some((plan) => plan.steps.length > 0)) {
      const open = server.plans.filter((plan) => plan.steps.length > 0);
      step(open[roll(open.length)]);
    } else if (choice < 10) deliver();
    else if (choice === 10 && roll(3) === 0) {
      if (roll(2) === 0) {
        server.epoch += 1;
        server.journal = [];
      }
      send('reset');
    }
    await turn();
    collect();
    look();
  }

  for (let settle = 0; settle < 400; settle += 1) {
    if (waiting.length > 0) reply(true);
    for (const plan of server.plans) if (plan.steps.length > 0) step(plan);
    deliver();
    await turn();
    collect();
    if (
      waiting.length === 0 &&
      reader.offset >= server.journal.length &&
      operations.every(
        (operation) => !['sending', 'unknown', 'accepted'].includes(operation.progress.get().phase),
      )
    )
      break;
    if (settle > 300) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  for (const operation of operations) {
    const outcome = await operation.outcome;
    assert.equal(outcome.kind, operation.refuse ? 'rejected' : operation.fate);
    assert.equal((await operation.accepted).kind, operation.refuse ? 'rejected' : 'accepted');
  }
  const byId = (list) => Object.fromEntries(list.map((row) => [row.id, row]));
  assert.deepEqual(
    byId(rows.get()),
    byId([...server.sagas.values()]),
    'in the end the page shows what the server has',
  );
  // Where versions have another sequence than the clicks, a completed order waits a moment for its own version.
  const deadline = Date.now() + 60_000;
  while (bench.client.value(KEY).get().data.left !== server.left && Date.now() < deadline)
    await new Promise((resolve) => setTimeout(resolve, 1));
  assert.equal(bench.client.value(KEY).get().data.left, server.left);
  assert.deepEqual(bench.calls, [], 'the stream never joins again');
}

test('many mutations at once never show an order twice, lose one or hang, and end with the state of the server', async () => {
  for (let seed = 1; seed <= 400; seed += 1) {
    await storm(seed).catch((error) => {
      error.message = `storm ${seed}: ${error.message}`;
      throw error;
    });
  }
});

test('the package exports exactly these names', () => {
  assert.deepEqual(Object.keys(bff).sort(), [
    'MOST_PENDING',
    'ProblemError',
    'TooManyPending',
    'createClient',
    'createSession',
    'createSharedStream',
    'ended',
    'fetchUser',
    'networkProblem',
    'readProblem',
  ]);
});
