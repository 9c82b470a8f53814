/**
 * Runs a hub. It uses a channel on which every tab receives every message, and handles the messages for it. A page loads this
 * module only where there is no shared worker: the tab that gets the Web Lock leads and runs the hub for all, and when that
 * tab ends the next one gets the lock at once; or each page runs its own hub.
 */
import { createHub } from './hub.js';
import { PROTOCOL } from './protocol.js';

/**
 * @param {string} place  The channel's name.
 * @param {typeof fetch | undefined} [fetch]
 * @returns {() => void} Ends it at once.
 */
export function runHub(place, fetch) {
  const channel = new BroadcastChannel(place);
  const ended = new AbortController();
  const hub = createHub({
    post: (to, message) => channel.postMessage({ to, message }),
    // A tab that crashes sends no message, but its lock becomes free. A request that is left would keep the page of this hub
    // out of the back-forward cache.
    watch(lock, gone) {
      void globalThis.navigator?.locks?.request(lock, { signal: ended.signal }, gone).catch(() => {});
    },
    fetch,
  });
  channel.onmessage = ({ data: { from, message } }) => from && hub.onMessage(from, message);
  channel.postMessage({ message: { kind: 'hello' } });
  return () => {
    ended.abort();
    hub.close();
    channel.close();
  };
}

/**
 * Runs a hub in a shared worker of this name. It refuses tabs with another protocol: a cache may have this file from another
 * deployment. They get no answer, and use the next mode.
 * @param {string} place
 * @returns {(() => void) | null}
 */
export const runWorkerHub = (place) => (place.startsWith(`${PROTOCOL} `) ? runHub(place) : null);

/**
 * @param {string} place  The lock's name, too.
 * @param {AbortSignal} signal  Ends it.
 * @param {typeof fetch | undefined} fetch
 * @param {boolean} alone  No other tab uses the channel.
 * @returns {Promise<unknown>} Resolves at the end. Rejects where there are no locks.
 */
export async function lead(place, signal, fetch, alone) {
  const begin = () =>
    new Promise((resolve) => {
      if (signal.aborted) return resolve(null);
      const end = runHub(place, fetch);
      signal.addEventListener('abort', () => resolve(end()));
    });
  return alone ? begin() : navigator.locks.request(place, { signal }, begin);
}
