/**
 * A model of the client's environment: a server that accepts an order once per key, a gateway that receives orders and
 * values through two feeds of which either may be late, a hub with two tabs, and a clock and a network that do only what
 * the schedule says. The client and the hub are real; only the browser and the wire are simulated. One run is one
 * interleaving; `run` checks every step of it and returns its name.
 */
import { createClient } from '../../web/client/index.js';
import { createHub } from '../../web/client/hub.js';
import { createCell } from '../../web/client/observable.js';

const KEY = 'stock/mug';
const FULL = 10;

/** The course of an order: each step is a saga event, with the number it takes from the stock. */
const FATES = {
  confirmed: [['PENDING'], ['RUNNING', 1], ['RUNNING'], ['COMPLETED']],
  compensated: [['PENDING'], ['RUNNING', 1], ['COMPENSATING', -1], ['COMPENSATED']],
  rejected: [['PENDING'], ['REJECTED']],
};
const ENDS = new Set(['COMPLETED', 'COMPENSATED', 'REJECTED']);

/** A clock that advances only when the test says so. */
export function stopTime() {
  const timers = new Map();
  let last = 0;
  const set = (then, after = 0) => {
    timers.set((last += 1), { then, after });
    return last;
  };
  const clear = (timer) => timers.delete(timer);
  Object.assign(globalThis, { setTimeout: set, clearTimeout: clear, setInterval: set, clearInterval: clear });
  AbortSignal.timeout = () => new AbortController().signal;
  return {
    reset: () => timers.clear(),
    waiting: () => [...timers].filter(([, { after }]) => after < 60_000).map(([timer]) => timer),
    fire(timer) {
      const { then } = timers.get(timer);
      timers.delete(timer);
      then();
    },
  };
}

function fail(what) {
  throw new Error(what);
}

/**
 * @param {{fate: string, answer: 'ok' | '4xx' | 'timeout' | 'lost', named: boolean, seldom: string[]}} scenario  answer: timeout
 *   is lost before the server accepted it, lost is lost afterwards. named: values name the mutations that they contain.
 *   seldom: what happens once, at a step that the schedule chooses.
 * @param {(options: number) => number} choose
 * @param {ReturnType<typeof stopTime>} time
 */
export async function run(scenario, choose, time) {
  time.reset();
  const trace = [];
  const server = {
    epoch: 1,
    journal: [],
    sagas: new Map(),
    version: 5,
    left: FULL,
    steps: null,
    mutation: '',
  };
  const stock = () => ({
    name: KEY,
    version: server.version,
    data: { left: server.left },
    at: '',
    ...(scenario.named && { mutations: server.version > 5 ? [server.mutation] : [] }),
  });
  const feed = []; // values, from their service to the gateway
  let known = stock(); // the newest that the gateway has
  const wire = []; // from the gateway to the hub
  let toHub = () => {};

  const hub = createHub({
    post(to, message) {
      for (const tab of tabs) if (to.includes(tab.id)) tab.queue.push(message);
    },
    source: ({ onEvent, cursor }) => {
      toHub = onEvent;
      const state = createCell('connecting');
      /** The gateway starts after the position: with later events and the values, or with the whole state. */
      function join() {
        const [epoch, offset] = (cursor() ?? '').split('-').map(Number);
        wire.length = 0;
        if (epoch !== server.epoch) return wire.push(snapshot(cursor() ? 'reset' : 'snapshot'));
        for (let at = offset; at < server.journal.length; at += 1)
          wire.push({ type: 'saga', id: `${epoch}-${at + 1}`, data: server.journal[at] });
        wire.push({ type: 'value', id: '', data: known });
      }
      return {
        state,
        start() {
          state.set('live');
          join();
        },
        stop() {},
        follow() {},
        wake() {},
        user: () => 'ada',
        reconnect: join,
      };
    },
  });
  const snapshot = (type) => {
    const cursor = `${server.epoch}-${server.journal.length}`;
    return { type, id: cursor, data: { cursor, sagas: [...server.sagas.values()], values: [known] } };
  };

  /** @type {any[]} */
  const tabs = [];
  const storage = new Map();
  const requests = [];
  const promises = [];

  function open(id) {
    const tab = { id, queue: [], rows: new Map(), left: [], told: -1, operation: null, gone: false };
    const state = createCell('connecting');
    const join = () =>
      hub.onMessage(id, {
        kind: 'join',
        userId: 'ada',
        cursor: tab.cursor(),
        names: [KEY],
        settings: { url: '' },
      });
    tab.client = createClient({
      storage: {
        getItem: (key) => storage.get(key) ?? null,
        setItem: (key, text) => void storage.set(key, text),
        removeItem: (key) => void storage.delete(key),
      },
      fetch: (_, init) =>
        new Promise((resolve, reject) => {
          const key = init.headers['Idempotency-Key'].slice(1, -1);
          if (!tab.gone) requests.push({ tab, key, resolve, reject });
        }),
      source: ({ onEvent, cursor }) => {
        tab.cursor = cursor;
        tab.deliver = (message) => {
          if (message.kind === 'event') {
            const { type, data } = message.event;
            const told = type === 'saga' ? data : data.sagas?.[0];
            if (told) tab.told = Math.max(tab.told, told.version);
            onEvent(message.event);
          } else if (message.kind === 'state') state.set(message.state);
        };
        return { state, start: join, stop() {}, follow() {}, reconnect: () => fail('a tab saw a gap') };
      },
      mutations: { base: 1, random: () => 0.5, linger: 1e9, newId: () => `m${id}` },
    });
    tab.place = tab.client.define('place', {
      request: () => ({ url: '/' }),
      apply(draft) {
        draft.saga({ type: 'order' });
        draft.value(KEY, (data) => ({ left: data.left - 1 }));
      },
    });
    tabs.push(tab);
    [tab.operation] = tab.client.start({ userId: 'ada' });
    const rows = tab.client.sagas();
    const value = tab.client.value(KEY);
    tab.look = () => {
      if (!tab.gone) look(tab, rows.get(), value.get());
    };
    rows.subscribe(tab.look);
    value.subscribe(tab.look);
    return tab;
  }

  /** What must hold after every step. */
  function look(tab, rows, value) {
    const seen = new Set();
    for (const { mutation, version, status, pending } of rows) {
      if (version < tab.told || (tab.told >= 0 && pending)) fail(`${tab.id} shows ${version} of ${tab.told}`);
      if (seen.has(mutation)) fail(`${tab.id} shows an order twice`);
      seen.add(mutation);
      const before = tab.rows.get(mutation);
      if (before && version < before.version) fail(`${tab.id}: version ${version} after ${before.version}`);
      if (before && ENDS.has(before.status) && status !== before.status)
        fail(`${tab.id}: ${status} after ${before.status}`);
      tab.rows.set(mutation, { version, status });
    }
    for (const mutation of tab.rows.keys())
      if (!seen.has(mutation) && !server.refused) fail(`${tab.id} lost an order that it had shown`);
    const left = value?.data.left;
    if (left !== undefined && tab.left.at(-1) !== left) tab.left.push(left);
  }

  /** The progress of an operation never goes back. */
  function follow(operation) {
    const order = ['sending', 'unknown', 'accepted'];
    let at = 0;
    operation.progress.subscribe(({ phase }) => {
      const next = order.includes(phase) ? order.indexOf(phase) : 3;
      if (next < at || at === 3) fail(`an operation is ${phase} after ${order[at] ?? 'its end'}`);
      at = next;
    });
    promises.push(operation);
  }

  function step() {
    const [status, taken = 0] = server.steps.shift();
    const saga = {
      id: 'o',
      type: 'order',
      status,
      step: null,
      attempt: 1,
      version: server.next,
      reason: null,
    };
    Object.assign(saga, { mutation: server.mutation, at: '', data: null });
    server.next += 1;
    server.sagas.set('o', saga);
    server.journal.push(saga);
    wire.push({ type: 'saga', id: `${server.epoch}-${server.journal.length}`, data: saga });
    if (taken === 0) return;
    server.left -= taken;
    server.version += 1;
    feed.push(stock());
  }
  function take(key) {
    if (!server.steps) {
      Object.assign(server, { steps: [...FATES[scenario.fate]], mutation: key, next: 0 });
      step();
    }
    const { status, version } = server.sagas.get('o');
    const body = { saga: { id: 'o', type: 'order', status, version } };
    body.cursor = `${server.epoch}-${server.journal.length}`;
    return { ok: true, text: async () => JSON.stringify(body) };
  }
  const refusal = {
    ok: false,
    status: 422,
    headers: new Headers(),
    json: async () => ({ code: 'no', title: 'no' }),
  };

  const first = open('A');
  open('B');
  while (wire.length > 0) toHub(wire.shift());
  for (const tab of tabs) while (tab.queue.length > 0) tab.deliver(tab.queue.shift());
  follow(first.place({}));
  first.look();

  const seldom = [...scenario.seldom];
  let lastSaga = null;
  let bad = scenario.answer === 'timeout' || scenario.answer === 'lost';
  let arrived = null; // the server has the request, its answer is under way
  let honest = false;
  for (let moves = 0; ; moves += 1) {
    if (moves > 200) fail('it never ends');
    const can = [];
    if (requests.length > 0 && !arrived) can.push('arrive');
    if (arrived) can.push('answer');
    if (server.steps?.length > 0) can.push('step');
    if (feed.length > 0) can.push('value');
    if (wire.length > 0) can.push('hub');
    for (const tab of tabs) if (tab.queue.length > 0) can.push(tab.id);
    for (const timer of time.waiting()) can.push(timer);
    if (can.length === 0) {
      if (honest || seldom.length === 0) break;
      honest = true;
    }
    for (const one of seldom) if (one !== 'duplicate' || lastSaga) can.push(one);
    if (can.length === 0) break;
    const what = can[choose(can.length)];
    trace.push(typeof what === 'number' ? 't' : what);
    const at = seldom.indexOf(what);
    if (at >= 0) seldom.splice(at, 1);

    if (what === 'arrive') {
      const request = requests.shift();
      if (scenario.answer === '4xx') {
        arrived = () => ((server.refused = true), request.resolve(refusal));
      } else if (bad) {
        bad = false;
        if (scenario.answer === 'lost') take(request.key);
        arrived = () => request.reject(Object.assign(new Error('timeout'), { name: 'TimeoutError' }));
      } else {
        const answer = take(request.key);
        arrived = () => request.resolve(answer);
      }
    } else if (what === 'answer') {
      arrived();
      arrived = null;
    } else if (what === 'step') step();
    else if (what === 'value') {
      known = feed.shift();
      wire.push({ type: 'value', id: '', data: known });
    } else if (what === 'hub') {
      const event = wire.shift();
      if (event.type === 'saga') lastSaga = event;
      toHub(event);
    } else if (what === 'duplicate') wire.push(lastSaga);
    else if (what === 'reset' || what === 'new epoch') {
      if (what === 'new epoch') {
        server.epoch += 1;
        server.journal = [];
      }
      wire.length = 0;
      lastSaga = null;
      toHub(snapshot('reset'));
    } else if (what === 'reload') {
      const old = tabs.find((tab) => tab.id === 'A');
      old.gone = true;
      hub.onMessage('A', { kind: 'leave' });
      tabs.splice(tabs.indexOf(old), 1);
      promises.length = 0; // no code waits for them any more
      for (const request of requests) if (request.tab === old) requests.splice(requests.indexOf(request), 1);
      const restored = open('A');
      if (restored.operation) follow(restored.operation);
      restored.reloaded = true;
    } else if (typeof what === 'number') time.fire(what);
    else {
      const tab = tabs.find(({ id }) => id === what);
      tab.deliver(tab.queue.shift());
    }
    for (let turns = 0; turns < 14; turns += 1) await null;
    for (const tab of tabs) tab.look();
  }

  // In the end every tab shows the state of the server, every promise is settled, and nothing is stored for a reload.
  for (const tab of tabs) {
    const said = ({ id, status, version, pending }) => `${id} ${status} ${version} ${pending}`;
    const rows = tab.client.sagas().get().map(said).join();
    if (rows !== [...server.sagas.values()].map(said).join()) fail(`${tab.id} ends with ${rows}`);
    const left = tab.client.value(KEY).get().data.left;
    if (left !== server.left) fail(`${tab.id} ends with ${left} left of ${server.left}`);
    const seen = tab.left.join();
    const may = tab.id === 'B' || tab.reloaded ? /^(10)?,?(9)?(,?10)?$/ : /^10,9(,10)?$/;
    if (!may.test(seen)) fail(`${tab.id} saw ${seen} left`);
    if (server.left === FULL - 1 && tab.left.lastIndexOf(FULL) > 0)
      fail(`${tab.id}: the count went back: ${seen}`);
  }
  for (const operation of promises) {
    const outcome = await Promise.race([operation.outcome, Promise.resolve(null)]);
    const wanted = scenario.answer === '4xx' ? 'rejected' : scenario.fate;
    if (outcome?.kind !== wanted) fail(`the outcome is ${outcome?.kind}, not ${wanted}`);
    if ((await Promise.race([operation.accepted, Promise.resolve(null)])) === null) fail('accepted is open');
  }
  if (storage.size > 0) fail('something is still kept for a reload');
  return trace.join(' ');
}

export const SCENARIOS = Object.keys(FATES).flatMap((fate) =>
  ['ok', '4xx', 'timeout', 'lost'].flatMap((answer) =>
    [true, false].flatMap((named) =>
      [
        [],
        ['duplicate'],
        ['reset'],
        ['new epoch'],
        ['reload'],
        ['duplicate', 'reload'],
        ['reset', 'reload'],
      ].map((seldom) => ({ fate, answer, named, seldom })),
    ),
  ),
);
