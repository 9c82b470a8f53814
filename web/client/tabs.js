/**
 * One live stream for all tabs of a browser: in a shared worker, else in a leading tab, which uses a BroadcastChannel to the
 * others, else in this page alone. `step` of sharing.js decides which; this module carries out the effects. When the worker
 * or the leading tab ends, nothing is lost: the next one resumes from the position of a tab.
 */
import { sheltered } from './faults.js';
import { newId } from './ids.js';
import { createCell } from './observable.js';
import { attend, isHidden, isOnLine } from './page.js';
import { PROTOCOL } from './protocol.js';
import { createTab, MODES, PATIENCE, step } from './sharing.js';

/**
 * @typedef {import('./stream.js').StreamOptions & {
 *   share?: import('./sharing.js').Mode,
 * }} SharedOptions  share: the best mode to try; default "worker", with a `fetch` "lock".
 */

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
  // A worker has its own address, so relative addresses are resolved against the page. On a server there is no page.
  const url = around.location
    ? String(new URL(options.url ?? '/bff/live', around.location))
    : (options.url ?? '/bff/live');
  // With the address of this module: tabs of two deployments have a hub each, because they have two worker files.
  const name = `${PROTOCOL} ${import.meta.url} ${url}`;
  const id = newId();
  // Functions cannot be sent to a worker. A mode that this browser does not have is never tried.
  const available = [around.SharedWorker && !fetch, around.navigator?.locks, true];
  const preferred = MODES.indexOf(share ?? 'worker');
  let tab = createTab(available.findIndex((is, mode) => is && mode >= preferred));
  /** @type {string[]} */
  let names = [];
  /** @type {(() => void)[]} events; the first one is being carried out */
  const events = [];
  /** @type {BroadcastChannel | null} to a hub */
  let link = null;
  /** Closes what was opened last: the failure of an earlier one does not count. */
  let opened = new AbortController();
  /** A Web Lock that is held as long as the channel, so that the hub notices when this tab crashes. */
  let lock = /** @type {string | null} */ (null);
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let silence;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let recovery;

  /**
   * One event after another: where a listener stops the client during the effects of an event, it is stopped after them.
   * @param {import('./sharing.js').TabEvent} event
   */
  function dispatch(event) {
    if (events.push(() => carryOut(event)) > 1) return;
    for (let next; (next = events[0]); events.shift()) sheltered(next);
  }

  /** @param {import('./sharing.js').TabEvent} event */
  function carryOut(event) {
    const next = step(tab, event);
    tab = next.tab;
    for (const effect of next.effects) sheltered(() => run(effect));
  }

  /** @param {import('./sharing.js').TabEffect} effect */
  function run(effect) {
    switch (effect.type) {
      case 'open':
        return void open(effect.mode);
      case 'close':
        return close();
      case 'join':
        return join(effect.backoff);
      case 'wake':
        return say({ kind: 'wake', type: effect.name, onLine: isOnLine(around) });
      case 'wait': {
        const { for: of } = effect;
        clearTimeout(silence);
        silence = setTimeout(
          () => dispatch({ type: 'silence', of }),
          of === 'beat' ? heartbeat * 3000 : PATIENCE,
        );
        return;
      }
      case 'recover':
        clearTimeout(recovery);
        recovery = setTimeout(() => dispatch({ type: 'recover' }), effect.after);
        return;
      case 'deliver':
        return onEvent(effect.event);
      case 'state':
        return state.set(effect.state);
      case 'fault':
        return fault.set(effect.fault);
    }
  }

  /** @param {boolean | undefined} [backoff] */
  function join(backoff) {
    const { userId, user } = tab;
    if (userId === null) return;
    const settings = { url, heartbeat, base, cap, user };
    say({ kind: 'join', userId, cursor: cursor(), names, settings, lock, backoff });
  }

  /** @param {import('./protocol.js').TabMessage} message */
  const say = (message) => link?.postMessage({ from: id, message });

  /** @param {import('./sharing.js').Mode} mode */
  async function open(mode) {
    const { signal } = (opened = new AbortController());
    const failed = () => signal.aborted || dispatch({ type: 'failed' });
    try {
      const place = `${name} ${mode === 'none' ? id : mode}`;
      link = new BroadcastChannel(place);
      link.onmessage = ({ data: { from, to, message } }) => {
        if (!from && (!to || to.includes(id))) dispatch({ type: 'message', message });
      };
      lock = null;
      if (around.navigator?.locks && mode !== 'none') {
        lock = await holdLock(around.navigator.locks, `${place} ${newId()}`, signal);
        if (signal.aborted) return;
      }
      join();
      if (mode === 'worker') {
        // In one expression, in which bundlers find the worker's script.
        const worker = new SharedWorker(new URL('./worker.js', import.meta.url), {
          type: 'module',
          name: place,
        });
        worker.onerror = failed;
      } else {
        const { lead } = await import('./leader.js');
        await lead(place, signal, fetch, mode === 'none');
      }
    } catch {
      failed();
    }
  }

  function close() {
    clearTimeout(silence);
    clearTimeout(recovery);
    say({ kind: 'leave' });
    link?.close();
    link = null;
    opened.abort();
  }

  const leave = attend(around, (type) => dispatch({ type: 'page', name: type, hidden: isHidden(around) }));

  return {
    state,
    fault,
    start: (userId = '') => dispatch({ type: 'start', userId }),
    stop: () => dispatch({ type: 'stop' }),
    dispose() {
      leave();
      dispatch({ type: 'stop' });
    },
    reconnect: (how) => dispatch({ type: 'reconnect', backoff: how?.backoff }),
    follow(wanted) {
      names = [...wanted];
      dispatch({ type: 'names' });
    },
  };
}

/**
 * @param {LockManager} locks
 * @param {string} name
 * @param {AbortSignal} signal  The end of it.
 * @returns {Promise<string | null>} The name once it is held; null where it cannot be.
 */
const holdLock = (locks, name, signal) =>
  new Promise((resolve) => {
    const hold = () => {
      resolve(name);
      return new Promise((release) => {
        if (signal.aborted) release(null);
        else signal.addEventListener('abort', release);
      });
    };
    locks.request(name, hold).catch(() => resolve(null));
  });
