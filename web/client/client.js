/**
 * The parts put together: a stream feeding a store, mutations folded over it, and readables of what there is to see. One
 * client per page; it does nothing until `start`, and it refuses to mix two people's state.
 */
import { createFollower } from './gaps.js';
import { createMutations } from './mutations.js';
import { derive } from './observable.js';
import { createStore } from './store.js';
import { createSharedStream } from './tabs.js';

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
 * @property {Omit<Partial<import('./tabs.js').SharedOptions>, 'onEvent' | 'cursor' | 'snapshot'>} [stream]
 * @property {Omit<Partial<import('./mutations.js').Host>, 'store' | 'changed' | 'isLive'>} [mutations]
 * @property {(options: import('./tabs.js').SharedOptions) => import('./stream.js').Source} [source]  Another way to the
 *   events, `createStream` for one of this page's own, say; default one stream for all tabs of the browser.
 */

/** Most values one client may watch. */
export const MOST_VALUES = 50;

/** Where the tabs tell each other who is here. */
const HERE = 'bff:here';

/** @param {'sessionStorage' | 'localStorage'} name */
function storageIfAllowed(name) {
  try {
    return globalThis[name] ?? null;
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
  /** @type {Map<string, number>} how often each value is asked for */
  const watched = new Map();
  let asking = false;
  /** @type {number | null} */
  let heardAt = null;
  /** @type {string | null} */
  let owner = null;

  const shared = storageIfAllowed('localStorage');
  const source = (options.source ?? createSharedStream)({
    ...(options.fetch && { fetch }),
    ...(options.url && { url: options.url }),
    ...options.stream,
    cursor: store.cursor,
    snapshot: store.snapshot,
    still: () => [null, owner].includes(readHere(owner)),
    onEvent,
  });
  const follow = createFollower(store, source.reconnect);
  const mutations = createMutations({
    fetch,
    storage: options.storage === undefined ? storageIfAllowed('sessionStorage') : options.storage,
    ...options.mutations,
    store,
    isLive: () => source.state.get() === 'live',
    changed() {
      for (const listener of [...listeners]) listener();
    },
  });
  source.state.subscribe((state) => {
    if (state === 'live') mutations.wake();
    if (state === 'stopped') tellTabs(null);
  });

  /** Who was the last to begin in any tab. @param {string | null} otherwise */
  function readHere(otherwise) {
    try {
      return shared ? shared.getItem(HERE) : otherwise;
    } catch {
      return otherwise;
    }
  }

  /** @param {string | null} person */
  function tellTabs(person) {
    try {
      if (person !== null) shared?.setItem(HERE, person);
      else if (readHere(null) === owner) shared?.removeItem(HERE);
    } catch {
      // Full or forbidden: the other tabs find out by themselves.
    }
  }

  /** @param {import('./stream.js').LiveEvent} event */
  function onEvent(event) {
    heardAt = Date.now();
    if (follow(event) === 'applied') mutations.advanced(event.type === 'snapshot' || event.type === 'reset');
  }

  /** One request for all that is asked for in one go. */
  function ask() {
    if (asking) return;
    asking = true;
    queueMicrotask(() => {
      asking = false;
      source.watch(watched.keys());
    });
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
      tellTabs(owner);
      source.start(owner);
      return restored;
    },

    /** Leave, and forget all that belongs to the person. */
    stop,

    /**
     * Hear of another person, or the same one again, beginning in another tab: time to ask who is here.
     * @param {() => void} listener
     * @returns {() => void} The way out.
     */
    onSignIn(listener) {
      const hear = (/** @type {any} a StorageEvent */ { key, newValue }) => {
        if (key === HERE && newValue !== null && (newValue !== owner || source.state.get() === 'stopped'))
          listener();
      };
      globalThis.addEventListener?.('storage', hear);
      return () => globalThis.removeEventListener?.('storage', hear);
    },

    /**
     * Ask for values, `stock/mug-01` for one; they come at once and whenever they change.
     * @param {Iterable<string>} names
     * @returns {() => void} No longer. A value stays while anybody else on the page asks for it.
     */
    watch(names) {
      const mine = new Set(names);
      if (new Set([...watched.keys(), ...mine]).size > MOST_VALUES)
        throw new RangeError(`more than ${MOST_VALUES} values watched`);
      for (const name of mine) watched.set(name, (watched.get(name) ?? 0) + 1);
      ask();
      return () => {
        for (const name of mine) {
          const left = (watched.get(name) ?? 1) - 1;
          if (left) watched.set(name, left);
          else watched.delete(name);
        }
        mine.clear();
        ask();
      };
    },

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
