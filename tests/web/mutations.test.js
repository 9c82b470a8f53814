import assert from 'node:assert/strict';
import { test } from 'node:test';

import { MOST_PENDING, TooManyPending } from '../../web/client/index.js';
import { createBench, distinct, json, memoryStorage, record, turn } from './bench.js';

const KEY = 'stock/mug';
const ORDER = 'order-1';

function place(bench, quantity = 1, more = {}) {
  return bench.client.mutate({
    request: { url: '/api/orders', body: { quantity } },
    apply(draft) {
      draft.saga({ type: 'order', data: { quantity } });
      draft.value(KEY, (data) => ({ ...data, left: data.left - quantity }));
    },
    ...more,
  });
}

const answer = (mutation, cursor, id = ORDER, version = 0) =>
  json(202, { mutation, saga: { id, type: 'order', status: 'PENDING', version }, cursor });
const problem = (status, code, headers = {}) =>
  json(status, { title: code, detail: `because ${code}`, status, code }, headers);
const event = (mutation, version, status, step = null, reason = null, id = ORDER) => ({
  id,
  type: 'order',
  status,
  step,
  attempt: 1,
  version,
  reason,
  mutation,
  at: '',
  data: { quantity: 1 },
});
const stock = (version, left) => ({ name: KEY, version, data: { left }, at: '' });

/** A bench with stock of 10 at version 5 and an empty journal at e-0. */
function ready(options) {
  const bench = createBench(options);
  bench.snapshot('e-0', [], [stock(5, 10)]);
  return bench;
}

test('a mutation shows at once, during the call, and is marked as pending', () => {
  const bench = ready();
  const rows = bench.client.sagas();
  assert.deepEqual(rows.get(), []);
  const operation = place(bench);
  const [row] = rows.get();
  assert.equal(row.mutation, operation.id);
  assert.equal(row.pending, 'sending');
  assert.equal(row.version, -1);
  assert.equal(bench.client.value(KEY).get().data.left, 9);
  assert.equal(operation.progress.get().phase, 'sending');
});

test('the request carries the id as a quoted key, and the header against CSRF', async () => {
  const bench = ready();
  const operation = place(bench, 2);
  const { url, init } = await bench.request();
  assert.equal(url, '/api/orders');
  assert.equal(init.method, 'POST');
  assert.equal(init.headers['Idempotency-Key'], `"${operation.id}"`);
  assert.equal(init.headers['X-BFF'], '1');
  assert.equal(init.body, '{"quantity":2}');
});

/** All sequences in which the answer, the events, the stock and a reset can arrive. */
function* interleavings(events) {
  for (let stockAt = 0; stockAt <= events.length; stockAt += 1) {
    const withStock = events.toSpliced(stockAt, 0, 'stock');
    for (let answerAt = 0; answerAt <= withStock.length; answerAt += 1) {
      const withAnswer = withStock.toSpliced(answerAt, 0, 'answer');
      for (const twice of [false, true]) {
        yield { order: withAnswer, twice };
        for (let resetAt = 0; resetAt <= withAnswer.length; resetAt += 1) {
          for (const reset of ['same epoch', 'new epoch'])
            yield { order: withAnswer.toSpliced(resetAt, 0, reset), twice };
        }
      }
    }
  }
}

/** Run one sequence of arrivals; returns everything that a subscriber could have seen. */
async function play({ order, twice }, events, lost) {
  const bench = ready({ random: () => 0 });
  const operation = place(bench);
  const rows = record(bench.client.sagas());
  const left = record(bench.client.value(KEY));
  let epoch = 'e';
  let offset = 0;
  let stockVersion = 5;
  let latest = null; // the server's row, as far as the journal has sent it
  const repeats = [];
  let request = await bench.request();

  for (const arrival of order) {
    if (arrival === 'answer') {
      if (lost) {
        request.reject(new TypeError('network'));
        await turn();
        // Without an event it is sent again, under the same key; the second answer comes.
        if (!latest) {
          assert.ok(['unknown'].includes(operation.progress.get().phase));
          request = await bench.request(1);
          assert.equal(request.init.headers['Idempotency-Key'], `"${operation.id}"`);
          request.resolve(answer(operation.id, 'e-1'));
        }
      } else {
        request.resolve(answer(operation.id, 'e-1'));
      }
      latest ??= event(operation.id, 0, 'PENDING'); // an answer means that the server has it
    } else if (arrival === 'stock') {
      stockVersion = 6;
      bench.value(KEY, 6, { left: 9 });
      if (twice) bench.value(KEY, 6, { left: 9 });
    } else if (arrival === 'same epoch' || arrival === 'new epoch') {
      if (arrival === 'new epoch') {
        epoch = 'f';
        offset = 0;
      } else if (latest) {
        offset = Math.max(offset, 1);
      }
      const values = [stock(stockVersion, stockVersion === 6 ? 9 : 10)];
      bench.snapshot(`${epoch}-${offset}`, latest ? [latest] : [], values, 'reset');
    } else {
      const [version, status, step, reason] = events[arrival];
      const data = event(operation.id, version, status, step, reason);
      if (epoch === 'e' && version === 0 && offset >= 1) continue; // the reset held it
      offset += 1;
      bench.saga(`${epoch}-${offset}`, data);
      repeats.push([`${epoch}-${offset}`, data]);
      if (!latest || latest.version < version) latest = data;
      if (twice) for (const [id, again] of repeats) if (id.startsWith(epoch)) bench.saga(id, again);
    }
    await turn();
    await turn();
  }
  return { bench, operation, rows, left: distinct(left.map((value) => value.data.left)) };
}

const COMPLETES = [
  [0, 'PENDING', null, null],
  [1, 'RUNNING', 'reserve', null],
  [2, 'RUNNING', 'charge', null],
  [3, 'COMPLETED', 'ship', null],
];

for (const lost of [false, true]) {
  test(`in every sequence of arrivals nothing flickers, doubles or hangs (${lost ? 'first answer lost' : 'answered'})`, async () => {
    let played = 0;
    for (const schedule of interleavings([0, 1, 2, 3])) {
      const name = JSON.stringify(schedule);
      const { bench, operation, rows, left } = await play(schedule, COMPLETES, lost);
      for (const seen of rows) assert.equal(seen.length, 1, `one row at every moment: ${name}`);
      const versions = rows.map(([row]) => row.version);
      assert.deepEqual(
        versions,
        versions.toSorted((a, b) => a - b),
        `never backwards: ${name}`,
      );
      assert.deepEqual(left, [9], `the count never moves: ${name}`);
      assert.equal(bench.client.sagas().get()[0].status, 'COMPLETED', name);
      assert.equal(bench.client.sagas().get()[0].pending, undefined, name);
      assert.deepEqual(await operation.accepted, { kind: 'accepted', sagaId: ORDER, problem: null }, name);
      assert.equal((await operation.outcome).kind, 'confirmed', name);
      assert.equal(operation.progress.get().phase, 'confirmed', name);
      assert.deepEqual(
        bench.calls.filter(([call]) => call === 'reconnect'),
        [],
        name,
      );
      played += 1;
    }
    assert.ok(played > 500, `${played} interleavings`);
  });
}

test('a compensation restores the count once, and is not a rejection', async () => {
  const steps = [
    [0, 'PENDING', null],
    [1, 'RUNNING', 'reserve'],
    [2, 'COMPENSATING', 'release'],
    [3, 'COMPENSATED', 'release'],
  ];
  for (let answerAt = 0; answerAt <= 7; answerAt += 1) {
    const bench = ready();
    const operation = place(bench);
    const left = record(bench.client.value(KEY));
    const request = await bench.request();
    const arrivals = [0, 1, 'taken', 2, 'given', 3].toSpliced(answerAt, 0, 'answer');
    let offset = 0;
    for (const arrival of arrivals) {
      if (arrival === 'answer') request.resolve(answer(operation.id, 'e-1'));
      else if (arrival === 'taken') bench.value(KEY, 6, { left: 9 });
      else if (arrival === 'given') bench.value(KEY, 7, { left: 10 });
      else
        bench.saga(
          `e-${(offset += 1)}`,
          event(operation.id, steps[arrival][0], steps[arrival][1], steps[arrival][2], 'card-declined'),
        );
      await turn();
    }
    assert.deepEqual(distinct(left.map((value) => value.data.left)), [9, 10]);
    assert.deepEqual(await operation.outcome, {
      kind: 'compensated',
      sagaId: ORDER,
      reason: 'card-declined',
      problem: null,
      data: { quantity: 1 },
    });
  }
});

test('a value that arrives late, after the compensation, does not make the count go back and forth', async () => {
  const bench = ready();
  const operation = place(bench);
  const left = record(bench.client.value(KEY));
  bench.saga('e-1', event(operation.id, 1, 'RUNNING', 'reserve'));
  bench.saga('e-2', event(operation.id, 2, 'COMPENSATED', 'release', 'card-declined'));
  assert.equal((await operation.outcome).kind, 'compensated');
  bench.value(KEY, 6, { left: 9 });
  bench.value(KEY, 7, { left: 10 });
  assert.deepEqual(distinct(left.map((value) => value.data.left)), [9, 10]);
  place(bench);
  assert.equal(bench.client.value(KEY).get().data.left, 9, 'no part of the change is left');
});

test('the wait for a value that never comes is bounded, whatever the outcome', async () => {
  for (const [status, after] of [
    ['COMPLETED', 10],
    ['COMPENSATED', 10],
  ]) {
    const bench = ready({ linger: 0.9 }); // a thirtieth of it: 30 ms
    const operation = place(bench);
    bench.saga('e-1', event(operation.id, 1, status, 'ship'));
    assert.equal(bench.client.value(KEY).get().data.left, 9);
    const deadline = Date.now() + 60_000;
    while (bench.client.value(KEY).get().data.left !== after && Date.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 2));
    assert.equal(bench.client.value(KEY).get().data.left, after, status);
  }
});

test('an answer with an unknown outcome reverts nothing', async () => {
  for (const [status, code] of [
    [409, 'idempotency-unknown'],
    [410, 'idempotency-answer-gone'],
  ]) {
    const bench = ready();
    const operation = place(bench);
    (await bench.request(0)).resolve(problem(status, code));
    assert.equal((await operation.outcome).kind, 'unknown', code);
    assert.equal(bench.client.sagas().get().length, 1);
    bench.saga('e-1', event(operation.id, 3, 'COMPLETED', 'ship'));
    assert.equal(operation.progress.get().phase, 'confirmed', 'the journal has the outcome');
  }
});

test('a saga refused at its first step is a rejection with its reason, and the count is restored in that step', async () => {
  const bench = ready();
  const operation = place(bench);
  const seen = [];
  bench.client
    .sagas()
    .subscribe((rows) => seen.push([rows[0]?.status, bench.client.value(KEY).get().data.left]));
  bench.saga('e-1', event(operation.id, 1, 'REJECTED', 'reserve', 'out-of-stock'));
  assert.deepEqual(seen, [['REJECTED', 10]]);
  assert.deepEqual(await operation.outcome, {
    kind: 'rejected',
    sagaId: ORDER,
    reason: 'out-of-stock',
    problem: null,
    data: { quantity: 1 },
  });
});

test('a 4xx reverts row and count in one step, and passes on the problem', async () => {
  const bench = ready();
  const operation = place(bench);
  const seen = [];
  bench.client.sagas().subscribe((rows) => seen.push([rows.length, bench.client.value(KEY).get().data.left]));
  (await bench.request()).resolve(problem(422, 'invalid'));
  const outcome = await operation.outcome;
  assert.deepEqual(seen, [[0, 10]]);
  assert.equal(outcome.kind, 'rejected');
  assert.equal(outcome.problem.detail, 'because invalid');
  assert.equal((await operation.accepted).kind, 'rejected');
});

test('reverting one operation leaves later events and the other operations', async () => {
  const bench = ready();
  const first = place(bench, 1);
  place(bench, 2);
  bench.value(KEY, 6, { left: 100 }, []); // the stock was filled: this version contains neither click
  assert.equal(bench.client.value(KEY).get().data.left, 97);
  (await bench.request(0)).resolve(problem(400, 'bad'));
  await first.outcome;
  assert.equal(bench.client.value(KEY).get().data.left, 98);
  assert.equal(bench.client.sagas().get().length, 1);
});

test('of two quick clicks the version that names the first one settles only that one', () => {
  const bench = ready();
  const left = record(bench.client.value(KEY));
  const first = place(bench, 1);
  const second = place(bench, 1);
  bench.saga('e-1', event(first.id, 1, 'RUNNING', 'reserve'));
  bench.value(KEY, 6, { left: 9 }, [first.id]);
  bench.value(KEY, 7, { left: 8 }, [first.id, second.id]);
  assert.deepEqual(distinct(left.map((value) => value.data.left)), [10, 9, 8]);
});

test('a click does not wait for the version of an earlier click that was refused', async () => {
  const bench = ready();
  place(bench, 1);
  const second = place(bench, 1);
  (await bench.request(0)).resolve(problem(422, 'no'));
  await turn();
  await turn();
  bench.saga('e-1', event(second.id, 1, 'RUNNING', 'reserve'));
  bench.value(KEY, 6, { left: 9 }, [second.id]);
  assert.equal(bench.client.value(KEY).get().data.left, 9);
});

test('when two of three clicks are refused, the third waits for the one version that is left', async () => {
  const bench = ready();
  place(bench, 1);
  place(bench, 1);
  const third = place(bench, 1);
  for (const at of [1, 0]) (await bench.request(at)).resolve(problem(422, 'no'));
  await turn();
  await turn();
  assert.equal(bench.client.value(KEY).get().data.left, 9);
  bench.value(KEY, 6, { left: 9 }, [third.id]);
  assert.equal(bench.client.value(KEY).get().data.left, 9);
});

test('a version that names only others leaves a click pending; a later one that names it ends it', () => {
  const bench = ready();
  const left = record(bench.client.value(KEY));
  const { id } = place(bench);
  bench.value(KEY, 6, { left: 7 }, ['another']); // another person bought three
  bench.value(KEY, 8, { left: 5 }, ['another', id, 'a third']); // version 7, the one of this click, was missed
  assert.deepEqual(distinct(left.map((value) => value.data.left)), [10, 9, 6, 5]);
});

test('the same version, sent again with further commands, ends the click that it names', () => {
  const bench = ready();
  const left = record(bench.client.value(KEY));
  const { id } = place(bench);
  bench.value(KEY, 6, { left: 9 }, []);
  bench.value(KEY, 6, { left: 9 }, [id]);
  assert.deepEqual(distinct(left.map((value) => value.data.left)), [10, 9, 8, 9]);
});

test('a change of an existing row ends with the event that names it, whatever the version', async () => {
  const bench = ready();
  bench.saga('e-1', event('m0', 2, 'RUNNING', 'charge'));
  const operation = bench.client.mutate({
    request: { url: '/cancel' },
    apply: (draft) => draft.saga({ id: ORDER, type: 'order', reason: 'cancelling' }),
    settledWhen: () => false,
  });
  (await bench.request()).resolve(answer(operation.id, 'e-1', ORDER, 2));
  await operation.accepted;
  bench.saga('e-2', event('m0', 3, 'RUNNING', 'charge'));
  assert.equal(bench.client.saga(ORDER).get().reason, 'cancelling', 'a step that does not name it');
  bench.saga('e-3', { ...event('m0', 4, 'COMPENSATING', 'refund', 'cancelled'), mutations: [operation.id] });
  assert.equal(bench.client.saga(ORDER).get().reason, 'cancelled');
  assert.equal(bench.client.saga(ORDER).get().pending, undefined);
});

test('after the event a network error or a refusal of the request changes nothing', async () => {
  for (const end of [
    (request) => request.reject(new TypeError('network')),
    (request) => request.resolve(problem(500, 'oops')),
    (request) => request.resolve(problem(409, 'late')),
  ]) {
    const bench = ready();
    const operation = place(bench);
    const request = await bench.request();
    bench.saga('e-1', event(operation.id, 1, 'RUNNING', 'reserve'));
    assert.equal((await operation.accepted).kind, 'accepted');
    end(request);
    await turn();
    await turn();
    assert.equal(operation.progress.get().phase, 'accepted');
    assert.equal(bench.client.sagas().get().length, 1);
    assert.equal(bench.requests.length, 1, 'not sent again');
  }
});

test('an answer whose position is passed without the row is replaced by the journal', async () => {
  const bench = ready();
  const operation = place(bench);
  (await bench.request()).resolve(answer(operation.id, 'e-2'));
  await operation.accepted;
  assert.equal(bench.client.sagas().get()[0].id, ORDER);
  bench.saga('e-1', event('other', 1, 'RUNNING', 'reserve', null, 'order-0'));
  assert.equal(bench.client.sagas().get().length, 2, 'the position is not reached');
  bench.snapshot('e-5', [], [stock(5, 10)], 'reset');
  assert.deepEqual(bench.client.sagas().get(), []);
});

test('after a reset in another epoch the new state counts, and the old position does not', async () => {
  const bench = ready();
  const operation = place(bench);
  (await bench.request()).resolve(answer(operation.id, 'e-2'));
  await operation.accepted;
  bench.snapshot('f-9', [], [stock(5, 10)], 'reset');
  assert.deepEqual(bench.client.sagas().get(), []);
});

test('an unknown outcome is reported and sent again under the same key, after 5xx, timeouts and in-flight answers too', async () => {
  const bench = ready();
  const operation = place(bench);
  const replies = [
    (r) => r.reject(new TypeError('network')),
    (r) => r.resolve(problem(503, 'unavailable')),
    (r) => r.resolve(problem(409, 'in-flight', { 'retry-after': '0' })),
    (r) => r.resolve(new Response('{"cut', { status: 202 })),
    (r) => r.resolve(problem(429, 'rate-limited')),
    (r) => r.resolve(answer(operation.id, 'e-1')),
  ];
  for (const [at, reply] of replies.entries()) {
    const request = await bench.request(at);
    if (at > 0) assert.equal(operation.progress.get().phase, 'unknown');
    if (at > 0) assert.equal(bench.client.sagas().get()[0].pending, 'unknown');
    reply(request);
    await turn();
  }
  assert.deepEqual(await operation.accepted, { kind: 'accepted', sagaId: ORDER, problem: null });
  assert.equal(new Set(bench.requests.map((request) => request.init.headers['Idempotency-Key'])).size, 1);
});

test('attempts are bounded: then the promises are unknown, the row stays, and the journal may still settle it', async () => {
  const bench = ready({ attempts: 3 });
  const operation = place(bench);
  for (let at = 0; at < 3; at += 1) (await bench.request(at)).resolve(problem(502, 'unreachable'));
  assert.equal((await operation.outcome).kind, 'unknown');
  assert.equal((await operation.accepted).kind, 'unknown');
  assert.equal(operation.progress.get().gaveUp, true);
  assert.equal(bench.client.sagas().get()[0].pending, 'unknown');
  bench.saga('e-1', event(operation.id, 4, 'COMPLETED', 'ship'));
  assert.equal(operation.progress.get().phase, 'confirmed');
  assert.equal(bench.client.sagas().get().length, 1);
});

test('the page may try again after the attempts have ended, or dismiss the row', async () => {
  for (const choice of ['retry', 'dismiss']) {
    const bench = ready({ attempts: 1 });
    const operation = place(bench);
    (await bench.request(0)).reject(new TypeError('network'));
    await operation.outcome;
    operation[choice]();
    if (choice === 'retry') {
      (await bench.request(1)).resolve(answer(operation.id, 'e-1'));
      await turn();
      await turn();
      assert.equal(operation.progress.get().phase, 'accepted');
      assert.equal(bench.client.sagas().get().length, 1);
    } else {
      assert.deepEqual(bench.client.sagas().get(), []);
      assert.equal(bench.client.value(KEY).get().data.left, 10);
    }
  }
});

test('a retry at the moment when the attempts end has effect', async () => {
  const bench = ready({ attempts: 1 });
  const operation = place(bench);
  operation.progress.subscribe(({ gaveUp }) => gaveUp && operation.retry());
  (await bench.request(0)).reject(new TypeError('network'));
  (await bench.request(1)).resolve(answer(operation.id, 'e-1'));
  assert.equal((await operation.outcome).kind, 'unknown');
  await turn();
  await turn();
  assert.equal(operation.progress.get().phase, 'accepted');
});

test('a first 401 or 429 is a refusal; after an attempt that may have arrived the outcome stays unknown', async () => {
  for (const status of [401, 403, 429]) {
    const clear = ready();
    const refused = place(clear);
    (await clear.request()).resolve(problem(status, 'no'));
    assert.equal((await refused.outcome).kind, 'rejected');

    const muddy = ready({ attempts: 2 });
    const unknown = place(muddy);
    (await muddy.request(0)).reject(new TypeError('network'));
    (await muddy.request(1)).resolve(problem(status, 'no'));
    assert.equal((await unknown.outcome).kind, 'unknown');
    assert.equal(muddy.client.sagas().get().length, 1);
  }
});

test('a stored refusal is the outcome, also after an attempt that may have arrived', async () => {
  const bench = ready({ attempts: 2 });
  const operation = place(bench);
  (await bench.request(0)).reject(new TypeError('network'));
  const stored = problem(403, 'card-declined');
  stored.headers.set('idempotency-replayed', 'true');
  (await bench.request(1)).resolve(stored);
  const outcome = await operation.outcome;
  assert.equal(outcome.kind, 'rejected');
  assert.equal(outcome.problem.code, 'card-declined');
});

test('a change of an existing row is shown until its event, not only until its answer', async () => {
  const bench = ready();
  bench.saga('e-1', event('m0', 2, 'RUNNING', 'charge'));
  const statuses = record(bench.client.saga(ORDER));
  const operation = bench.client.mutate({
    request: { url: '/cancel' },
    apply: (draft) => draft.saga({ id: ORDER, type: 'order', status: 'COMPENSATING' }),
    settledWhen: (state) => state.sagas.get(ORDER).version > 2,
  });
  (await bench.request()).resolve(answer(operation.id, 'e-1', ORDER, 2));
  assert.equal((await operation.accepted).kind, 'accepted');
  bench.saga('e-2', event('m0', 3, 'COMPENSATING', 'refund', 'cancelled'));
  bench.saga('e-3', event('m0', 4, 'COMPENSATED', 'release', 'cancelled'));
  assert.deepEqual(distinct(statuses.map((row) => row.status)), ['RUNNING', 'COMPENSATING', 'COMPENSATED']);
  assert.equal((await operation.outcome).kind, 'compensated');
});

test('a refused change leaves the row as the server has it', async () => {
  const bench = ready();
  bench.saga('e-1', event('m0', 2, 'RUNNING', 'ship'));
  const operation = bench.client.mutate({
    request: { url: '/cancel' },
    apply: (draft) => draft.saga({ id: ORDER, type: 'order', status: 'COMPENSATING' }),
  });
  bench.saga('e-2', event('m0', 3, 'COMPLETED', 'ship'));
  (await bench.request()).resolve(problem(409, 'too-late'));
  await operation.outcome;
  assert.equal(bench.client.saga(ORDER).get().status, 'COMPLETED');
  assert.equal(bench.client.saga(ORDER).get().pending, undefined);
});

test('a gap joins again after the last position, and a position that does not help is dropped', () => {
  const bench = ready();
  bench.saga('e-2', event('m', 1, 'RUNNING'));
  bench.saga('e-3', event('m', 1, 'RUNNING'));
  assert.deepEqual(bench.calls, [
    ['reconnect', false, 'e-0'],
    ['reconnect', true, null],
  ]);
  bench.snapshot('e-3', [event('m', 1, 'RUNNING')]);
  assert.equal(bench.client.sagas().get().length, 1);
});

test('a named mutation survives a reload and is sent again under the same key, once', async () => {
  const storage = memoryStorage();
  const kind = {
    request: (input) => ({ url: '/api/orders', body: input }),
    apply: (draft, input) => draft.saga({ type: 'order', data: input }),
  };
  const before = createBench({ storage });
  const place_ = before.client.define('place', kind);
  before.client.start({ userId: 'ada' });
  const operation = place_({ quantity: 3 });
  await before.request();

  const stranger = createBench({ storage });
  stranger.client.define('place', kind);
  assert.deepEqual(stranger.client.start({ userId: 'eve' }), []);

  const after = createBench({ storage });
  after.client.define('place', kind);
  const [restored] = after.client.start({ userId: 'ada' });
  assert.equal(restored.id, operation.id);
  assert.equal(after.client.sagas().get()[0].pending, 'unknown');
  assert.deepEqual(after.client.sagas().get()[0].data, { quantity: 3 });
  const request = await after.request();
  assert.equal(request.init.headers['Idempotency-Key'], `"${operation.id}"`);
  after.snapshot('e-1', [event(operation.id, 0, 'PENDING')]);
  assert.equal(after.client.sagas().get().length, 1);
  assert.equal(restored.progress.get().phase, 'accepted');
  assert.equal(storage.entries.size, 0);
});

test('a stored mutation that is too old or unreadable is not sent again', () => {
  const old = new Date(Date.now() - 3_600_000).toISOString();
  for (const text of ['not json', '{}', JSON.stringify([{ id: 'x', kind: 'place', input: 1, at: old }])]) {
    const bench = createBench({ storage: memoryStorage(new Map([['bff:pending:ada', text]])) });
    bench.client.define('place', { request: () => ({ url: '/' }), apply: () => {} });
    assert.deepEqual(bench.client.start({ userId: 'ada' }), []);
  }
});

test('leaving settles every promise and deletes the data of the person', async () => {
  const bench = ready();
  const operation = place(bench);
  bench.client.stop();
  assert.equal((await operation.outcome).kind, 'unknown');
  assert.equal((await operation.accepted).kind, 'unknown');
  assert.deepEqual(bench.client.sagas().get(), []);
  assert.equal(bench.client.value(KEY).get(), undefined);
  (await bench.request()).resolve(answer(operation.id, 'e-1'));
  await turn();
  assert.deepEqual(bench.client.sagas().get(), []);
});

test('too many unsettled mutations are refused, and a mutation whose apply fails leaves nothing behind', () => {
  const bench = ready();
  assert.throws(() => place(bench, 1, { apply: () => assert.fail('a bug') }), /a bug/);
  assert.equal(bench.requests.length, 0);
  for (let at = 0; at < MOST_PENDING; at += 1) place(bench);
  assert.throws(() => place(bench), TooManyPending);
});

test('an accepted operation whose event never comes is dropped once the journal is live', async () => {
  const bench = ready({ linger: 0.02 });
  const operation = place(bench);
  (await bench.request()).resolve(answer(operation.id, 'other-7'));
  await operation.accepted;
  assert.equal(bench.client.sagas().get().length, 1);
  const gone = await new Promise((resolve, reject) => {
    const deadline = setTimeout(() => reject(new Error('it never gave way')), 60_000);
    bench.client.sagas().subscribe((rows) => (clearTimeout(deadline), resolve(rows)));
  });
  assert.deepEqual(gone, []);
});

test('a stream that waits for its snapshot is not live', () => {
  const bench = createBench();
  bench.state.set('connecting');
  const seen = record(bench.client.connection);
  bench.client.start({ userId: 'ada' });
  bench.state.set('live');
  assert.deepEqual(seen, ['connecting']);
  bench.snapshot('e-1');
  assert.equal(bench.client.connection.get(), 'live');
  bench.state.set('stale');
  bench.state.set('live');
  assert.deepEqual(seen, ['connecting', 'live', 'stale', 'live']);
});

test('an accepted operation is shown while the journal is awaited, and its promises settle when it never comes', async () => {
  const bench = createBench({ linger: 0.05 });
  const operation = place(bench);
  (await bench.request()).resolve(answer(operation.id, null));
  await operation.accepted;
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(bench.client.sagas().get().length, 1, 'no event has removed it');
  bench.snapshot('e-1');
  const alive = setInterval(() => {}, 1000); // the operation's timer does not keep the process running
  const outcome = await operation.outcome;
  clearInterval(alive);
  assert.equal(outcome.kind, 'unknown');
  assert.deepEqual(bench.client.sagas().get(), []);
});

test('a saga that the journal has forgotten settles its operation', async () => {
  const bench = ready();
  const operation = place(bench);
  (await bench.request()).resolve(answer(operation.id, 'e-1'));
  await operation.accepted;
  bench.saga('e-1', event(operation.id, 1, 'RUNNING', 'reserve'));
  bench.snapshot('f-0', [], [], 'reset');
  assert.equal((await operation.outcome).kind, 'unknown');
});

test('a stored mutation that cannot be resumed does not stop the client', () => {
  const bench = createBench({ storage: memoryStorage() });
  const kind = { request: () => ({ url: '/' }), apply: (draft) => draft.saga({ type: 'order' }) };
  const [bad, good] = ['bad', 'good'].map((name) => bench.client.define(name, kind));
  bench.client.start({ userId: 'ada' });
  bad({});
  const { id } = good({});
  bench.client.stop();
  bench.client.define('bad', { ...kind, request: ({ lines }) => ({ url: lines.length }) });
  const { queueMicrotask } = globalThis;
  const said = [];
  globalThis.queueMicrotask = (report) => said.push(report);
  try {
    const restored = bench.client.start({ userId: 'ada' });
    assert.deepEqual(
      restored.map((operation) => operation.id),
      [id],
    );
  } finally {
    globalThis.queueMicrotask = queueMicrotask;
  }
  assert.throws(said[0], /length/, 'the error is reported later');
  assert.equal(bench.calls.at(-1), 'start');
});

test('nothing is sent for a person whose session has ended: the next session may be another person’s', async () => {
  const bench = ready({ random: () => 1, base: 0.02 });
  const operation = place(bench);
  bench.client.start({ userId: 'ada' });
  (await bench.request()).reject(new TypeError('network'));
  bench.state.set('stopped');
  assert.equal((await operation.outcome).kind, 'unknown');
  const other = place(bench);
  assert.equal((await other.outcome).kind, 'rejected');
  assert.equal((await other.outcome).problem.status, 401);
  assert.equal(bench.requests.length, 1);
});

test('a key that the server has for another request, after a new version of the page, reverts nothing', async () => {
  const bench = ready();
  const operation = place(bench);
  (await bench.request()).reject(new TypeError('network'));
  (await bench.request(1)).resolve(problem(422, 'idempotency-mismatch'));
  assert.equal((await operation.outcome).kind, 'unknown');
  assert.equal(bench.client.sagas().get().length, 1);
});

test('a pending operation is found by its id, and `onSettled` gets its end, also after a reload', async () => {
  const storage = memoryStorage();
  const kind = {
    request: (input) => ({ url: '/', body: input }),
    apply: (draft) => draft.saga({ type: 'order' }),
  };
  const before = createBench({ storage });
  before.client.start({ userId: 'ada' });
  const { id } = before.client.define('place', kind)({ quantity: 3 });

  const bench = createBench({ storage });
  const ends = [];
  const leave = bench.client.onSettled(({ operation, outcome }) =>
    ends.push([operation.name, operation.input, outcome.kind]),
  );
  bench.client.define('place', kind);
  bench.client.start({ userId: 'ada' });
  bench.snapshot('e-0');
  assert.equal(bench.client.operation(id).id, id);
  (await bench.request(0)).resolve(problem(409, 'sold-out'));
  await turn();
  await turn();
  assert.deepEqual(ends, [['place', { quantity: 3 }, 'rejected']]);
  assert.equal(bench.client.operation(id), undefined);
  leave();
  place(bench).dismiss();
  assert.equal(ends.length, 1);
});
