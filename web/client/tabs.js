/**
 * One live stream for all tabs of a browser: in a shared worker, else in the tab that holds a Web Lock, which uses a
 * BroadcastChannel to reach the others, else in this page alone. When one way fails or is silent, the next one is
 * used: a holder of the stream that hangs is suspected after three heartbeats and left `PATIENCE` later. When the
 * holder ends nothing is lost: the next holder resumes from the position of a tab.
 */
import { newId } from './ids.js';
import { createCell } from './observable.js';
import { attend, isHidden, isOnLine } from './page.js';

/** @typedef {import('./hub.js').Said} Said */
/** @typedef {import('./hub.js').Told} Told */

/**
 * @typedef {import('./stream.js').StreamOptions & {
 *   share?: 'worker' | 'lock' | 'none',
 * }} SharedOptions  share: the best way to try; default "worker", with a `fetch` "lock".
 */

/** Both ends must use the same protocol: tabs that loaded another version, or another worker file, share another stream. */
const PROTOCOL = 'bff-live-5';
const PATIENCE = 5000; // milliseconds for a hub to answer
const WAYS = ['worker', 'lock', 'none'];

/**
 * @param {SharedOptions} options
 * @returns {import('./connection.js').Source}
 */
export function createSharedStream(options) {
  const { onEvent, cursor, heartbeat = 15, base, cap, fetch, share } = options;
  const state = createCell(/** @type {import('./connection.js').StreamState} */ ('stopped'));
  const fault = createCell(/** @type {import('./connection.js').Fault | null} */ (null));
  /** @type {any} without a page some members are missing */
  const around = globalThis;
  // A worker has an address of its own: what is relative is relative to the page. On a server there is no page, and nothing
  // is followed.
  const url = around.location
    ? String(new URL(options.url ?? '/bff/live', around.location))
    : (options.url ?? '/bff/live');
  const worker = new URL('./worker.js', import.meta.url);
  const name = `${PROTOCOL} ${worker} ${url}`;
  // Functions cannot be sent to a worker.
  let way = Math.max(WAYS.indexOf(/** @type {string} */ (share)), fetch ? 1 : 0);
  /** @type {string[]} */
  let names = [];
  /** @type {string | null} null while stopped */
  let owner = null;
  /** @type {string | null} the server's name for the same person, once known */
  let user = null;
  const id = newId();
  /** @type {BroadcastChannel | null} to a hub */
  let link = null;
  /** Closes what was opened last: the failure of an earlier one does not count. */
  let opened = new AbortController();
  /** Whether events are on their way that the hub sent before it knew that one is missing. */
  let behind = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} when to suspect that the hub is gone */
  let doubt;

  /** Start, start again from here, or check whether a hub is there: it answers at once. @param {{backoff?: boolean}} [how] */
  function join(how) {
    if (!link) return;
    wait(next, PATIENCE);
    const settings = { url, heartbeat, base, cap, user };
    say({
      kind: 'join',
      owner: /** @type {string} where there is a channel */ (owner),
      cursor: cursor(),
      names,
      settings,
      ...how,
    });
  }

  /** @param {() => void} then @param {number} milliseconds  Of silence. */
  function wait(then, milliseconds) {
    clearTimeout(doubt);
    doubt = setTimeout(then, milliseconds);
  }

  /** This way has failed: use the next one, or the last one again after a while. */
  function next() {
    close();
    if (way > 1) return wait(open, PATIENCE);
    way += 1;
    void open();
  }

  async function open() {
    const { signal } = (opened = new AbortController());
    const failed = () => signal.aborted || next();
    try {
      const place = `${name} ${way > 1 ? id : way}`;
      link = new BroadcastChannel(place);
      link.onmessage = ({ data: { to, told } }) => {
        if (told && (!to || to.includes(id))) hear(told);
      };
      join();
      if (way) {
        const { holdHere } = await import('./holder.js');
        await holdHere(place, signal, fetch, way > 1);
      } else {
        new SharedWorker(worker, { type: 'module', name: place }).onerror = failed;
      }
    } catch {
      failed();
    }
  }

  /** @param {Said} said */
  const say = (said) => link?.postMessage({ from: id, said });

  function close() {
    clearTimeout(doubt);
    say({ kind: 'leave' });
    link?.close();
    link = null;
    opened.abort();
  }

  /** @param {Told} told */
  function hear(told) {
    wait(join, heartbeat * 3000);
    if ((told.owner ?? owner) !== owner) return;
    user = told.user ?? user;
    if (told.kind === 'event') {
      if (!behind || told.event.type !== 'saga') onEvent(told.event);
    } else if (told.kind === 'hello') join();
    else if (told.kind === 'full') {
      way = 1;
      next();
    } else if (told.state === 'stopped') stop(told.fault);
    else {
      behind = false;
      fault.set(told.fault ?? null);
      state.set(told.state);
    }
  }

  const leave = attend(around, (type) => {
    if (owner === null) return;
    if (type === 'pagehide')
      close(); // an open connection keeps a page out of the back-forward cache
    else if (!link) {
      if (type !== 'pageshow') return;
      // Another person may have signed in meanwhile: a tab that does not know the owner of its journal must ask who
      // is signed in.
      if (!user) return stop();
      state.set('stale');
      void open();
    } else if (!isHidden(around)) wake(type);
  });

  /** @param {string} type  The type of the page's event. */
  const wake = (type) => say({ kind: 'wake', type, onLine: isOnLine(around) });

  /** @param {import('./connection.js').Fault | null} [why] */
  function stop(why = null) {
    owner = user = null;
    close();
    fault.set(why);
    state.set('stopped');
  }

  return {
    state,
    fault,
    start(person = '') {
      if (owner !== null) return wake('online');
      owner = person;
      fault.set(null);
      state.set('connecting');
      void open();
    },
    stop: () => stop(),
    dispose() {
      leave();
      stop();
    },
    reconnect(how) {
      behind = true;
      join(how);
    },
    watch(wanted) {
      names = [...wanted];
      join();
    },
  };
}
