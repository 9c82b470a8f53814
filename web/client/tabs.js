/**
 * One live stream for all tabs of a browser: in a shared worker, else in the tab that holds a Web Lock, which speaks to the
 * others over a BroadcastChannel, else in this page alone. Each means gives way to the next when it fails or falls silent.
 * The holder's end loses nothing: whoever comes after it resumes where a tab stands.
 */
import { createCell } from './observable.js';

/** @typedef {import('./hub.js').Said} Said */
/** @typedef {import('./hub.js').Told} Told */

/**
 * @typedef {object} Link  A way to a hub.
 * @property {(said: Said) => unknown} post
 * @property {() => unknown} close
 */

/**
 * @typedef {import('./stream.js').StreamOptions & {
 *   share?: 'worker' | 'lock' | 'none',
 *   snapshot?: () => any,
 *   still?: () => boolean,
 * }} SharedOptions  share: the best means to try; default "worker". snapshot: where this tab stands, for a hub to go on from.
 *   still: whether it is still this person's browser; asked before joining, so that nobody follows another's journal.
 */

/** Both ends must speak alike: tabs that loaded another version share another stream. */
const PROTOCOL = 'bff-live-1';
const PATIENCE = 5000; // milliseconds for a hub to say that it is there

/**
 * @param {SharedOptions} options
 * @returns {import('./stream.js').Source}
 */
export function createSharedStream(options) {
  const { onEvent, cursor, heartbeat = 15, base, cap, fetch, share = 'worker' } = options;
  const state = createCell(/** @type {import('./stream.js').StreamState} */ ('stopped'));
  const around = /** @type {any} where there is no page there is less of it */ (globalThis);
  // A worker has an address of its own: what is relative is relative to the page.
  const url = String(new URL(options.url ?? '/bff/live', around.location?.href ?? 'http://localhost'));
  const name = `${PROTOCOL} ${url}`;
  // A worker cannot be given functions.
  let means = [
    ...(share === 'worker' && !fetch && around.SharedWorker ? [openWorker] : []),
    ...(share !== 'none' && around.navigator?.locks ? [() => openHere('holdForAll')] : []),
    () => openHere('holdAlone'),
  ];
  /** @type {string[]} */
  let names = [];
  /** @type {string | null} null while stopped */
  let owner = null;
  /** @type {Link | null} */
  let link = null;
  let heard = 0;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let pulse;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let doubt;

  function join() {
    if (owner === null) return;
    if (options.still?.() === false) return stop();
    link?.post({ kind: 'join', owner, cursor: cursor(), names, settings: { url, heartbeat, base, cap } });
  }

  /** The next means, if this one is the one in use. @param {Link | null} failed */
  function next(failed) {
    if (failed !== link || owner === null) return;
    if (means[1]) means.shift();
    close();
    open();
  }

  function ask() {
    const asked = link;
    clearTimeout(doubt);
    doubt = setTimeout(() => next(asked), PATIENCE);
    asked?.post({ kind: 'ping' });
  }

  function open() {
    heard = Date.now();
    pulse = setInterval(() => {
      if (Date.now() - heard > heartbeat * 3000) ask();
    }, heartbeat * 1000);
    try {
      link = /** @type {() => Link} */ (means[0])();
      join();
      ask();
    } catch {
      next(link);
    }
  }

  function close() {
    clearInterval(pulse);
    clearTimeout(doubt);
    link?.post({ kind: 'leave' });
    link?.close();
    link = null;
  }

  /** @param {Told} told */
  function hear(told) {
    heard = Date.now();
    clearTimeout(doubt);
    if (owner === null || (told.owner ?? owner) !== owner) return;
    if (told.kind === 'event') onEvent(told.event);
    else if (told.kind === 'hello') join();
    else if (told.kind === 'full') {
      means = means.slice(-2);
      next(link);
    } else if (told.kind === 'state') {
      if (told.state === 'stopped') stop();
      else state.set(told.state);
    }
  }

  /** @returns {Link} */
  function openWorker() {
    const worker = new SharedWorker(new URL('./worker.js', import.meta.url), { type: 'module', name });
    /** @type {Link} */
    const mine = {
      post: (said) => worker.port.postMessage(said),
      close: () => worker.port.close(),
    };
    worker.onerror = () => next(mine);
    worker.port.onmessage = ({ data }) => mine === link && hear(data);
    return mine;
  }

  /** @param {'holdForAll' | 'holdAlone'} how @returns {Link} */
  function openHere(how) {
    const inner = import('./holder.js').then(
      (holder) =>
        holder[how]({
          name,
          hear: (told) => mine === link && hear(told),
          failed: () => next(mine),
          seed: () => (owner === null ? undefined : { owner, state: options.snapshot?.() }),
          fetch,
        }),
      () => next(mine),
    );
    /** @type {Link} */
    const mine = {
      post: (said) => inner.then((holder) => holder?.post(said)),
      close: () => inner.then((holder) => holder?.close()),
    };
    return mine;
  }

  /** @param {Event} event */
  function wake({ type }) {
    if (type === 'pagehide') return close(); // what is open keeps a page out of the back-forward cache
    if (!link) {
      if (type !== 'pageshow') return; // in that cache, or on the way there
      state.set('stale');
      return open();
    }
    if (around.document?.visibilityState !== 'hidden')
      link?.post({ kind: 'wake', type, onLine: around.navigator?.onLine !== false });
  }
  /** @param {'addEventListener' | 'removeEventListener'} how */
  function listen(how) {
    for (const type of ['online', 'offline', 'pageshow', 'pagehide']) around[how]?.(type, wake);
    around.document?.[how]('visibilitychange', wake);
  }

  function stop() {
    listen('removeEventListener');
    owner = null;
    close();
    state.set('stopped');
  }

  return {
    state,
    start(person = '') {
      if (owner !== null) return;
      owner = person;
      listen('addEventListener');
      state.set(around.navigator?.onLine === false ? 'offline' : 'connecting');
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
