/**
 * The parts put together: a stream feeding a store, mutations folded over it, and readables of what there is to see. One
 * client per page; it does nothing until `start`, and it refuses to mix two people's state.
 */
import { orNull } from './faults.js';
import { createFollower } from './gaps.js';
import { createMutations } from './mutations.js';
import { derive } from './observable.js';
import { createStore, findByMutation, isReplacement } from './store.js';
import { createSharedStream } from './tabs.js';

/** @typedef {import('./store.js').Saga} Saga */
/** @typedef {import('./store.js').Value} Value */
/** @typedef {import('./operation.js').Definition} Definition */
/** @typedef {import('./operation.js').Operation} Operation */

/**
 * @template I
 * @typedef {import('./mutations.js').Kind<I>} Kind
 */

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
 * @property {Omit<Partial<import('./mutations.js').Host>, 'store' | 'listeners' | 'isLive'>} [mutations]
 * @property {(options: import('./tabs.js').SharedOptions) => import('./stream.js').Source} [source]  Another way to the
 *   events, `createStream` for one of this page's own, say; default one stream for all tabs of the browser.
 */

/** Most values one client may watch. */
export const MOST_VALUES = 50;

/** Where the tabs tell each other who is here. */
const HERE = 'bff:here';

/** @param {ClientOptions} [options] */
export function createClient(options = {}) {
  const store = createStore();
  /** @type {Set<() => void>} */
  const listeners = new Set();
  /** @type {Set<string[]>} the values asked for, by who asks */
  const watched = new Set();
  let asking = false;
  /** @type {number | null} */
  let heardAt = null;
  /** @type {string | null} */
  let owner = null;

  /** Who was the last to begin in any tab. */
  const here = () => orNull(() => localStorage.getItem(HERE));
  const source = (options.source ?? createSharedStream)({
    fetch: options.fetch,
    url: options.url,
    ...options.stream,
    cursor: store.cursor,
    snapshot: store.snapshot,
    still: () => (here() ?? owner) === owner,
    onEvent,
  });
  const follow = createFollower(store, source.reconnect);
  const mutations = createMutations({
    fetch: options.fetch,
    storage: options.storage === undefined ? orNull(() => sessionStorage) : options.storage,
    ...options.mutations,
    store,
    isLive: () => source.state.get() === 'live',
    listeners,
  });
  source.state.subscribe((state) => {
    if (state === 'live') mutations.wake();
    if (state === 'stopped' && here() === owner) orNull(() => localStorage.removeItem(HERE));
  });

  /** @param {import('./stream.js').LiveEvent} event */
  function onEvent(event) {
    heardAt = Date.now();
    if (follow(event) === 'applied') mutations.advanced(isReplacement(event.type));
  }

  /** One request for all that is asked for in one go. */
  function ask() {
    if (asking) return;
    asking = true;
    queueMicrotask(() => {
      asking = false;
      source.watch(wanted());
    });
  }

  const wanted = () => new Set([...watched].flat());

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
      orNull(() => localStorage.setItem(HERE, who.owner));
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
      const mine = [...names];
      watched.add(mine);
      if (wanted().size > MOST_VALUES) {
        watched.delete(mine);
        throw new RangeError(`more than ${MOST_VALUES} values`);
      }
      ask();
      return () => {
        watched.delete(mine);
        ask();
      };
    },

    /**
     * A value learned elsewhere, from a screen for one; it counts only if its version is newer.
     * @param {Iterable<{name: string, version: number, data: any, at?: string}>} values
     */
    observe(values) {
      for (const value of values) store.observe(value);
      mutations.advanced();
    },

    /** @param {string} id  The saga's id, or the mutation's that started it. @returns {Readable<Saga | undefined>} */
    saga: (id) =>
      derive(() => {
        const { sagas } = mutations.view();
        return sagas.get(id) ?? findByMutation(sagas, id);
      }, listeners),

    /** All of them, in the order they became known. @returns {Readable<readonly Saga[]>} */
    sagas: () => derive(() => [...mutations.view().sagas.values()], listeners),

    /** @param {string} name @returns {Readable<Value | undefined>} */
    value: (name) => derive(() => mutations.view().values.get(name), listeners),

    mutate: mutations.mutate,
    define: mutations.define,
  };
}

/** @typedef {ReturnType<typeof createClient>} Client */
