/**
 * One live stream for all tabs of a browser: in a shared worker, else in the tab that holds a Web Lock, which speaks to the
 * others over a BroadcastChannel, else in this page alone. Each way gives way to the next when it fails or falls silent:
 * whoever hangs with the stream in hand is doubted after three beats and left `PATIENCE` later. The holder's end loses
 * nothing: whoever comes after it resumes where a tab stands.
 */
import { createCell } from './observable.js';
import { attend, isHidden, isOnLine } from './page.js';

/** @typedef {import('./hub.js').Said} Said */
/** @typedef {import('./hub.js').Told} Told */

/** @typedef {{postMessage: (said: Said) => void, close: () => void}} Link  A way to a hub: a port, or what acts as one. */

/**
 * @typedef {import('./connection.js').ConnectionOptions & {
 *   share?: 'worker' | 'lock' | 'none',
 * }} SharedOptions  share: the best way to try; default "worker", with a `fetch` "lock".
 */

/** Both ends must speak alike: tabs that loaded another version share another stream. */
const PROTOCOL = 'bff-live-3';
const PATIENCE = 5000; // milliseconds for a hub to answer
const WAYS = ['worker', 'lock', 'none'];

/**
 * @param {SharedOptions} options
 * @returns {import('./connection.js').Source}
 */
export function createSharedStream(options) {
  const { onEvent, cursor, heartbeat = 15, base, cap, fetch, share } = options;
  const state = createCell(/** @type {import('./connection.js').StreamState} */ ('stopped'));
  /** @type {any} where there is no page there is less of it */
  const around = globalThis;
  // A worker has an address of its own: what is relative is relative to the page.
  const url = String(new URL(options.url ?? '/bff/live', around.location?.href ?? 'http://localhost'));
  const name = `${PROTOCOL} ${url}`;
  // A worker cannot be given functions.
  let way = Math.max(WAYS.indexOf(share ?? 'worker'), fetch ? 1 : 0);
  /** @type {string[]} */
  let names = [];
  /** @type {string | null} null while stopped */
  let owner = null;
  /** @type {string | null} the same person as the server names them, once it has */
  let user = null;
  /** @type {Link | null} */
  let link = null;
  /** Which opening is the one in use: the words and the failure of another do not count. */
  let opening = {};
  let away = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} when to doubt that anybody is there */
  let doubt;

  /** Begin, begin again from here, or see whether anybody is there: a hub answers at once. @param {{backoff?: boolean}} [how] */
  function join(how) {
    if (!link || owner === null) return;
    wait(next, PATIENCE);
    const settings = { url, heartbeat, base, cap, user };
    link.postMessage({ kind: 'join', owner, cursor: cursor(), names, settings, ...how });
  }

  /** @param {() => void} then @param {number} milliseconds  Of silence. */
  function wait(then, milliseconds) {
    clearTimeout(doubt);
    doubt = setTimeout(then, milliseconds);
  }

  /** This way has failed: the next, or the last of them again after a while. */
  function next() {
    close();
    if (way > 1) return wait(open, PATIENCE);
    way += 1;
    void open();
  }

  async function open() {
    const mine = (opening = {});
    const failed = () => mine === opening && next();
    const heard = (/** @type {Told} */ told) => mine === opening && hear(told);
    try {
      const opened = way
        ? (await import('./holder.js')).hold({ name, hear: heard, failed, fetch, alone: way > 1 })
        : openWorker(heard, failed);
      if (mine !== opening) return opened.close();
      link = opened;
      join();
    } catch {
      failed();
    }
  }

  function close() {
    clearTimeout(doubt);
    opening = {};
    link?.postMessage({ kind: 'leave' });
    link?.close();
    link = null;
  }

  /** @param {Told} told */
  function hear(told) {
    wait(join, heartbeat * 3000);
    if ((told.owner ?? owner) !== owner) return;
    if (told.kind === 'event') onEvent(told.event);
    else if (told.kind === 'hello') join();
    else if (told.kind === 'full') {
      way = 1;
      next();
    } else if (told.state === 'stopped') stop();
    else {
      user = told.user ?? user;
      state.set(told.state);
    }
  }

  /** @param {(told: Told) => void} heard @param {() => void} failed @returns {Link} */
  function openWorker(heard, failed) {
    const worker = new SharedWorker(new URL('./worker.js', import.meta.url), { type: 'module', name });
    const { port } = worker;
    worker.onerror = failed;
    port.onmessage = ({ data }) => heard(data);
    return port;
  }

  attend(around, (type) => {
    if (owner === null) return;
    if (type === 'pagehide') {
      away = true;
      close(); // what is open keeps a page out of the back-forward cache
    } else if (away) {
      if (type !== 'pageshow') return;
      away = false;
      // Somebody else may have signed in meanwhile: who does not know whose journal it was must ask who is here.
      if (!user) return stop();
      state.set('stale');
      void open();
    } else if (!isHidden(around)) wake(type);
  });

  /** @param {string} type  Of what happened to the page. */
  const wake = (type) => link?.postMessage({ kind: 'wake', type, onLine: isOnLine(around) });

  function stop() {
    owner = user = null;
    close();
    state.set('stopped');
  }

  return {
    state,
    start(person = '') {
      if (owner !== null) return wake('online');
      owner = person;
      away = false;
      state.set(isOnLine(around) ? 'connecting' : 'offline');
      void open();
    },
    stop,
    reconnect: join,
    watch(wanted) {
      names = [...wanted];
      join();
    },
  };
}
