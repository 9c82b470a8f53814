/**
 * The parts put together: a stream feeding a store, mutations folded over it, and readables of what there is to see. One
 * client per page; it does nothing until `start`, and it refuses to mix two people's state.
 */
import { createMutations } from './mutations.js';
import { derive } from './observable.js';
import { createStore } from './store.js';
import { createStream } from './stream.js';

/** @typedef {import('./store.js').Saga} Saga */
/** @typedef {import('./store.js').Value} Value */

/**
 * @template T
 * @typedef {import('./observable.js').Readable<T>} Readable
 */

/**
 * @typedef {object} ClientOptions
 * @property {string} [url]     The live stream; default "/bff/live".
 * @property {typeof fetch} [fetch]
 * @property {import('./pending.js').KeyValue | null} [storage]  For what must survive a reload; default sessionStorage.
 * @property {Omit<Partial<import('./stream.js').StreamOptions>, 'onEvent' | 'cursor'>} [stream]
 * @property {Omit<Partial<import('./mutations.js').Host>, 'store' | 'changed' | 'isLive'>} [mutations]
 * @property {(options: import('./stream.js').StreamOptions) => import('./stream.js').Source} [source]  Another way to the
 *   events, one shared among tabs, say; default a stream of this page's own.
 */

function sessionStorageIfAllowed() {
  try {
    return globalThis.sessionStorage ?? null;
  } catch {
    return null; // blocked by the reader's settings
  }
}

/** @param {ClientOptions} [options] */
export function createClient(options = {}) {
  const fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
  const store = createStore();
  /** @type {Set<() => void>} */
  const listeners = new Set();
  let gaps = 0;
  /** @type {number | null} */
  let heardAt = null;
  /** @type {string | null} */
  let owner = null;

  const source = (options.source ?? createStream)({
    fetch,
    ...(options.url === undefined ? {} : { url: options.url }),
    ...options.stream,
    cursor: store.cursor,
    onEvent,
  });
  const mutations = createMutations({
    fetch,
    storage: options.storage === undefined ? sessionStorageIfAllowed() : options.storage,
    ...options.mutations,
    store,
    isLive: () => source.state.get() === 'live',
    changed() {
      for (const listener of [...listeners]) listener();
    },
  });
  source.state.subscribe((state) => {
    if (state === 'live') mutations.wake();
  });

  /** @param {import('./stream.js').LiveEvent} event */
  function onEvent(event) {
    heardAt = Date.now();
    const verdict = store.apply(event);
    if (verdict === 'gap') {
      gaps += 1;
      // Resuming did not help: the position itself is not worth keeping.
      if (gaps > 1) store.forget();
      source.reconnect({ backoff: gaps > 1 });
    } else if (verdict === 'applied') {
      if (event.type !== 'value') gaps = 0;
      mutations.advanced(event.type === 'snapshot' || event.type === 'reset');
    }
  }

  /** @param {() => void} listener */
  function onChange(listener) {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }

  function stop() {
    source.stop();
    owner = null;
    store.clear();
    mutations.clear();
  }

  return {
    /** @type {Readable<import('./stream.js').StreamState>} */
    connection: source.state,

    /**
     * How far the journal has been followed, and when the stream last said anything, a beat included (milliseconds since
     * 1970; null before the first word). Asked for, not told: it changes without anything else changing.
     */
    pulse: () => ({ position: store.cursor(), heardAt }),

    /**
     * Follow this person's journal, and take up what a reload interrupted.
     * @param {{owner: string}} who  Anything that names the person, the token's `sub` for one.
     * @returns {import('./operation.js').Operation[]} What was taken up.
     */
    start(who) {
      if (owner !== null && owner !== who.owner) stop();
      owner = who.owner;
      const restored = mutations.restore(owner);
      source.start();
      return restored;
    },

    /** Leave, and forget all that belongs to the person. */
    stop,

    /** Ask for values, `stock/mug-01` for one; they come at once and whenever they change. @param {Iterable<string>} names */
    watch: source.watch,

    /**
     * A value learned elsewhere, from a screen for one; it counts only if its version is newer.
     * @param {Iterable<{name: string, version: number, data: any, at?: string}>} values
     */
    observe(values) {
      let news = false;
      for (const value of values) news = store.observe(value) === 'applied' || news;
      if (news) mutations.advanced(false);
    },

    /** @param {string} id  The saga's id, or the mutation's that started it. @returns {Readable<Saga | undefined>} */
    saga: (id) =>
      derive(() => {
        const { sagas } = mutations.view();
        const saga = sagas.get(id);
        if (saga) return saga;
        for (const other of sagas.values()) if (other.mutation === id) return other;
        return undefined;
      }, onChange),

    /** All of them, in the order they became known. @returns {Readable<readonly Saga[]>} */
    sagas: () => derive(() => [...mutations.view().sagas.values()], onChange),

    /** @param {string} name @returns {Readable<Value | undefined>} */
    value: (name) => derive(() => mutations.view().values.get(name), onChange),

    mutate: mutations.mutate,
    define: mutations.define,
  };
}

/** @typedef {ReturnType<typeof createClient>} Client */
