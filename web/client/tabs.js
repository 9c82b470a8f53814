/**
 * One live stream for all tabs of a browser: in a shared worker, else in the tab that holds a Web Lock, which speaks to the
 * others over a BroadcastChannel, else in this page alone. Each means gives way to the next when it fails or falls silent.
 * The holder's end loses nothing: whoever comes after it resumes where a tab stands.
 */
import { createCell } from './observable.js';
import { isHidden, isOffline, listen } from './page.js';

/** @typedef {import('./hub.js').Said} Said */
/** @typedef {import('./hub.js').Told} Told */

/**
 * @typedef {object} Link  A way to a hub.
 * @property {(said: Said) => unknown} post
 * @property {() => unknown} close
 */

/** @typedef {(hear: (told: Told) => void, failed: () => void) => Link} Means */

/**
 * @typedef {import('./stream.js').StreamOptions & {
 *   share?: 'worker' | 'lock' | 'none',
 *   snapshot?: () => any,
 *   still?: () => boolean,
 * }} SharedOptions  share: the best means to try; default "worker". snapshot: where this tab stands, for a hub to go on from.
 *   still: whether it is still this person's browser; asked before joining, so that nobody follows another's journal.
 */

/** Both ends must speak alike: tabs that loaded another version share another stream. */
const PROTOCOL = 'bff-live-2';
const PATIENCE = 5000; // milliseconds for a hub to answer

/**
 * @param {SharedOptions} options
 * @returns {import('./stream.js').Source}
 */
export function createSharedStream(options) {
  const { onEvent, cursor, heartbeat = 15, base, cap, fetch, share = 'worker' } = options;
  const state = createCell(/** @type {import('./stream.js').StreamState} */ ('stopped'));
  /** @type {any} where there is no page there is less of it */
  const around = globalThis;
  // A worker has an address of its own: what is relative is relative to the page.
  const url = String(new URL(options.url ?? '/bff/live', around.location?.href ?? 'http://localhost'));
  const name = `${PROTOCOL} ${url}`;
  // A worker cannot be given functions.
  let means = [
    ...(share === 'worker' && !fetch && around.SharedWorker ? [openWorker] : []),
    ...(share !== 'none' && around.navigator?.locks ? [openHere('holdForAll')] : []),
    openHere('holdAlone'),
  ];
  /** @type {string[]} */
  let names = [];
  /** @type {string | null} null while stopped */
  let owner = null;
  /** @type {Link | null} */
  let link = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} when to doubt that anybody is there */
  let doubt;

  /** Begin, begin again after a gap, or see whether anybody is there: a hub answers at once. */
  function join() {
    if (!link || owner === null) return;
    if (options.still?.() === false) return stop();
    wait(next, PATIENCE);
    link.post({ kind: 'join', owner, cursor: cursor(), names, settings: { url, heartbeat, base, cap } });
  }

  /** @param {() => void} then @param {number} milliseconds  Of silence. */
  function wait(then, milliseconds) {
    clearTimeout(doubt);
    doubt = setTimeout(then, milliseconds);
  }

  /** This means has failed. */
  function next() {
    if (means[1]) means.shift();
    close();
    open();
  }

  function open() {
    /** @type {Link | undefined} */
    let mine;
    /** @param {Told} told  Its words count, and its failure, while it is the one in use. */
    const heard = (told) => mine === link && hear(told);
    const failed = () => mine === link && next();
    try {
      link = mine = /** @type {Means} */ (means[0])(heard, failed);
      join();
    } catch {
      next();
    }
  }

  function close() {
    clearTimeout(doubt);
    link?.post({ kind: 'leave' });
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
      means = means.slice(-2);
      next();
    } else if (told.state === 'stopped') stop();
    else state.set(told.state);
  }

  /** @type {Means} */
  function openWorker(heard, failed) {
    const worker = new SharedWorker(new URL('./worker.js', import.meta.url), { type: 'module', name });
    const { port } = worker;
    worker.onerror = failed;
    port.onmessage = ({ data }) => heard(data);
    return { post: (said) => port.postMessage(said), close: () => port.close() };
  }

  /** @param {'holdForAll' | 'holdAlone'} how @returns {Means} */
  function openHere(how) {
    return (hear, failed) => {
      const seed = () => (owner === null ? undefined : { owner, state: options.snapshot?.() });
      // A holder that cannot be loaded never answers, and is asked for again.
      const inner = import('./holder.js').then(
        (holder) => holder[how]({ name, hear, failed, seed, fetch }),
        () => null,
      );
      return {
        post: (said) => inner.then((holder) => holder?.post(said)),
        close: () => inner.then((holder) => holder?.close()),
      };
    };
  }

  /** @param {Event} event */
  function notice({ type }) {
    if (type === 'pagehide')
      close(); // what is open keeps a page out of the back-forward cache
    else if (link) {
      if (!isHidden(around)) link.post({ kind: 'wake', type, onLine: !isOffline(around) });
    } else if (type === 'pageshow') {
      state.set('stale');
      open();
    }
  }

  function stop() {
    listen(around, 'removeEventListener', notice);
    owner = null;
    close();
    state.set('stopped');
  }

  return {
    state,
    start(person = '') {
      if (owner !== null) return;
      owner = person;
      listen(around, 'addEventListener', notice);
      state.set(isOffline(around) ? 'offline' : 'connecting');
      open();
    },
    stop,
    reconnect: join,
    watch(wanted) {
      names = [...wanted];
      link?.post({ kind: 'watch', names });
    },
  };
}
