/**
 * The environment of the mutation tests: a source whose events a test pushes, and a fetch that a test answers. The source is
 * live, or as in a browser `stopped` until it is started.
 */
import { createClient } from '../../web/client/index.js';
import { createCell } from '../../web/client/observable.js';

export const turn = () => new Promise((resolve) => setImmediate(resolve));

export function memoryStorage(entries = new Map()) {
  return {
    entries,
    getItem: (key) => entries.get(key) ?? null,
    setItem: (key, text) => void entries.set(key, text),
    removeItem: (key) => void entries.delete(key),
  };
}

export const json = (status, body, headers = {}) =>
  new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json', ...headers } });

export function createBench({ storage = null, stopped = false, ...mutations } = {}) {
  const requests = [];
  let push = () => {};
  const calls = [];
  const state = createCell(stopped ? 'stopped' : 'live');
  const client = createClient({
    storage,
    fetch: (url, init) => new Promise((resolve, reject) => requests.push({ url, init, resolve, reject })),
    source: (options) => {
      push = options.onEvent;
      return {
        state,
        start() {
          calls.push('start');
          if (state.get() === 'stopped') state.set('connecting');
        },
        stop: () => calls.push('stop'),
        follow: (names) => calls.push(['follow', ...names]),
        reconnect: (how) => calls.push(['reconnect', how?.backoff ?? false, options.cursor()]),
      };
    },
    mutations: { base: 0.001, ...mutations },
  });
  return {
    client,
    calls,
    state,
    requests,
    push: (event) => push(event),
    snapshot: (cursor, sagas = [], values = [], type = 'snapshot') =>
      push({ type, id: cursor, data: { cursor, sagas, values } }),
    saga: (id, data) => push({ type: 'saga', id, data }),
    /** mutations: those that this version contains; none: the service does not say. */
    value: (name, version, data, mutations) =>
      push({ type: 'value', id: '', data: { name, version, data, at: '', ...(mutations && { mutations }) } }),
    /** The n-th request, once it was made. */
    async request(n = 0) {
      const deadline = Date.now() + 5000;
      while (requests.length <= n) {
        if (Date.now() > deadline) throw new Error(`request ${n} was never sent`);
        await turn();
      }
      return requests[n];
    },
  };
}

/** Every distinct content of a readable, from now on. */
export function record(readable) {
  const seen = [readable.get()];
  readable.subscribe((value) => seen.push(value));
  return seen;
}

export const distinct = (list) => list.filter((item, at) => at === 0 || item !== list[at - 1]);

/** A small generator with a seed (mulberry32): a failing run can be repeated. @param {number} seed */
export function dice(seed) {
  let state = seed;
  return (sides) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % sides;
  };
}
