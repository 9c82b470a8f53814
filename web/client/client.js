/**
 * The client: a stream that feeds a store, pending mutations folded over it, and readables of the result. One client
 * per page; it does nothing until `start`, and it refuses to mix the state of two people.
 */
import { orNull, sheltered } from './faults.js';
import { createMutations } from './mutations.js';
import { createCell, derive, enlist } from './observable.js';
import { createRequest } from './request.js';
import { createStore, findByMutation, MOST_VALUES } from './store.js';
import { createSharedStream } from './tabs.js';

/** @typedef {import('./store.js').Saga} Saga */
/** @typedef {import('./store.js').Value} Value */
/** @typedef {import('./operation.js').Definition} Definition */
/** @typedef {import('./operation.js').Operation} Operation */
/** @typedef {import('./mutations.js').Settlement} Settlement */

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
 * @property {string} [prefix]  The path below which the gateway is reached, "/desk"; default none.
 * @property {string} [url]     The live stream; default "/bff/live" below the prefix.
 * @property {typeof fetch} [fetch]
 * @property {import('./pending.js').KeyValue | null} [storage]  Stores what must survive a reload; default sessionStorage.
 * @property {import('./mutations.js').Monitor} [monitor]  Begins traces at the click and measures what was painted; see rum.js.
 * @property {Omit<Partial<import('./tabs.js').SharedOptions>, 'onEvent' | 'cursor'>} [stream]
 * @property {Omit<Partial<import('./mutations.js').Host>, 'store' | 'listeners' | 'isLive'>} [mutations]
 * @property {(options: import('./tabs.js').SharedOptions) => import('./connection.js').Source} [source]  Another source of
 *   events, for example `createStream` for a stream of this page alone; default one stream for all tabs of the browser.
 */

/**
 * A client. With the types of a gateway it knows its sagas, values and commands:
 * `createClient<{components: components, paths: paths}>()`.
 * @type {<G = unknown>(options?: ClientOptions) => import('./typing.js').Client<G>}
 */
export const createClient = (options) =>
  /** @type {any} the same, with more exact types */ (createUntyped(options));

/** @param {ClientOptions} [options] */
export function createUntyped(options = {}) {
  const { prefix = '' } = options;
  /** The channel on which the tabs of one gateway announce the signed-in person. */
  const here = `bff:here${prefix}`;
  const store = createStore({ isFollowed: (name) => requested().has(name) });
  /** @type {Set<() => void>} */
  const listeners = new Set();
  /** @type {Set<string[]>} the requested values, by subscriber */
  const subscribed = new Set();
  let asking = false;
  let gaps = 0; // in a row
  const sessionExpiresAt = createCell(/** @type {number | null} */ (null));
  /** @type {number | null} */
  let heardAt = null;
  /** @type {string | null} */
  let userId = null;
  /** Subscriptions to the page's events, which `dispose` ends. @type {Set<() => void>} */
  const leaves = new Set();
  let disposed = false;

  const source = (options.source ?? createSharedStream)({
    fetch: options.fetch,
    url: options.url ?? `${prefix}/bff/live`,
    ...options.stream,
    cursor: store.cursor,
    onEvent,
  });
  const connection = createCell(/** @type {import('./connection.js').StreamState} */ ('stopped'));
  const mutations = createMutations({
    // A session that ended here may be another person's by now, and then so would be the repeated requests.
    fetch: (...request) =>
      disposed || (userId !== null && source.state.get() === 'stopped')
        ? new Response(null, { status: 401 })
        : (options.fetch ?? fetch)(...request),
    storage: options.storage === undefined ? orNull(() => sessionStorage) : options.storage,
    monitor: options.monitor,
    ...options.mutations,
    store,
    isLive: () => connection.get() === 'live',
    listeners,
  });
  connection.subscribe((state) => {
    if (state === 'live') mutations.wake();
  });
  source.state.subscribe(look);

  /** A stream is open before it sends anything: it is live once there is a state to follow. */
  function look() {
    const state = source.state.get();
    if (state !== 'live' || store.cursor() !== null) connection.set(state);
  }

  /** @param {import('./connection.js').LiveEvent} event */
  function onEvent(event) {
    heardAt = Date.now();
    if (event.type === 'beat') sessionExpiresAt.set(event.data.ends);
    const verdict = store.apply(event);
    if (verdict === 'gap') {
      const backoff = (gaps += 1) > 1;
      // Joining again after the last position did not help, so the position is dropped.
      if (backoff) store.forget();
      source.reconnect({ backoff });
    } else if (verdict === 'replaced' || verdict === 'applied') {
      if (event.type !== 'value' && event.type !== 'gone') gaps = 0;
      mutations.advanced(verdict === 'replaced');
      look();
    }
  }

  /** One request for all values that are requested in one go. */
  function ask() {
    if (asking) return;
    asking = true;
    queueMicrotask(() => {
      asking = false;
      source.follow(carried());
    });
  }

  /** All values that the page subscribes to, the oldest subscription first. */
  const requested = () => new Set([...subscribed].flat());

  /** The values that the stream carries; the others wait until a subscription ends. */
  const carried = () => [...requested()].slice(0, MOST_VALUES);

  function stop() {
    source.stop();
    userId = null;
    sessionExpiresAt.set(null);
    store.clear();
    mutations.clear();
  }

  return {
    /** @type {Readable<import('./connection.js').StreamState>} */
    connection,

    /**
     * The fault that keeps the stream from working, where it is neither an outage nor the end of the session; null
     * without one.
     * @type {Readable<import('./connection.js').Fault | null>}
     */
    fault: source.fault ?? createCell(null),

    /**
     * When the session ends (milliseconds since 1970), from half a minute before; null while it does not end soon.
     * Call `start` again once the person has signed in again.
     * @type {Readable<number | null>}
     */
    sessionExpiresAt,

    /**
     * The current position in the journal, and when the stream last received anything, heartbeats included
     * (milliseconds since 1970; null before the first byte). It is read, and has no subscription: it changes without
     * a change of anything else.
     */
    status: () => ({ position: store.cursor(), heardAt }),

    /**
     * Follow this person's journal, and resume mutations that a reload interrupted. Where it is followed already the
     * stream is joined again without a change of state, because the session may be another one.
     * @param {{userId: string}} who  Anything that identifies the person, for example the token's `sub`.
     * @returns {import('./operation.js').Operation[]} The resumed mutations.
     */
    start(who) {
      if (disposed) throw new Error('the client is disposed');
      if (userId !== null && userId !== who.userId) stop();
      userId = who.userId;
      sessionExpiresAt.set(null);
      // Every start writes another text, so that the other tabs get an event. They get it although the text is
      // deleted at once: the next person at this browser must not find who was signed in.
      orNull(() => localStorage.setItem(here, `${Date.now()} ${userId}`));
      orNull(() => localStorage.removeItem(here));
      source.start(userId);
      // Afterwards: while the stream is stopped nothing is sent, and a mutation that was never sent would be rejected.
      return mutations.restore(prefix + userId);
    },

    /** Leave, and delete everything that belongs to the person. */
    stop,

    /** Stop for good: no listener of the page's events stays, `start` throws, and a mutation is rejected with status 401. */
    dispose() {
      if (disposed) return;
      disposed = true;
      stop();
      source.dispose?.();
      for (const leave of [...leaves]) leave();
    },

    /**
     * Be notified when another person, or the same one again, starts in another tab: time to ask who is signed in.
     * @param {() => void} listener
     * @returns {() => void} Ends the subscription.
     */
    onSessionChange(listener) {
      const onStorage = (/** @type {any} a StorageEvent */ { key, newValue }) => {
        if (key !== here || newValue === null) return;
        if (source.state.get() === 'stopped' || newValue.replace(/.*? /, '') !== userId) listener();
      };
      const leave = () => {
        leaves.delete(leave);
        globalThis.removeEventListener?.('storage', onStorage);
      };
      leaves.add(leave);
      globalThis.addEventListener?.('storage', onStorage);
      return leave;
    },

    /**
     * Request values, for example `stock/mug-01`; they arrive at once and whenever they change. A stream carries 50: of
     * more, the last ones wait until other subscriptions end, and an error is reported.
     * @param {Iterable<string>} names
     * @returns {() => void} Ends the request. A value stays while another part of the page requests it.
     */
    subscribe(names) {
      const mine = [...names];
      subscribed.add(mine);
      sheltered(() => {
        if (requested().size > MOST_VALUES)
          throw new RangeError(`more than ${MOST_VALUES} values are subscribed to`);
      });
      ask();
      return () => {
        subscribed.delete(mine);
        ask();
      };
    },

    /**
     * A value learned elsewhere, for example from a screen; it counts only if its version is newer.
     * @param {Iterable<{name: string, version: number, data: any, at?: string}>} values
     */
    setValues(values) {
      for (const value of values) store.learn(value);
      mutations.advanced();
    },

    /**
     * @param {string} id  The saga's id, or that of the mutation that started it.
     * @param {string} [type]  A saga of another type counts as unknown.
     * @returns {Readable<Saga | undefined>}
     */
    saga: (id, type) =>
      derive(() => {
        const { sagas } = mutations.view();
        const found = sagas.get(id) ?? findByMutation(sagas, id);
        return found && (type ?? found.type) === found.type ? found : undefined;
      }, listeners),

    /**
     * All of them, or those of a type, in the order they became known.
     * @param {string} [type]
     * @returns {Readable<readonly Saga[]>}
     */
    sagas: (type) =>
      derive(
        () => [...mutations.view().sagas.values()].filter((saga) => (type ?? saga.type) === saga.type),
        listeners,
      ),

    /** @param {string} name @returns {Readable<Value | undefined>} */
    value: (name) => derive(() => mutations.view().values.get(name), listeners),

    /**
     * The request of a command by its path as it is declared, for `define` and `mutate`; below the client's prefix.
     * @param {string} method
     * @param {string} path
     * @param {import('./request.js').Parts} [parts]
     */
    request: (method, path, parts) => createRequest(method, prefix + path, parts),

    operation: mutations.operation,
    onRestored: mutations.onRestored,
    onSettled: mutations.onSettled,
    mutate: mutations.mutate,
    takeUpLater: mutations.takeUpLater,
    define: mutations.define,
  };
}

/**
 * @template [G=unknown]
 * @typedef {import('./typing.js').Client<G>} Client
 */
