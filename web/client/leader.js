/**
 * Runs a hub on a channel on which every tab gets every message and uses those for itself. A page loads this module only
 * where there is no shared worker: the tab that gets the Web Lock leads and runs the hub for all, and when that tab ends the
 * next one gets the lock at once; or each page runs its own hub.
 */
import { createHub } from './hub.js';
import { PROTOCOL } from './protocol.js';

/**
 * @param {string} place  The channel's name.
 * @param {typeof fetch | undefined} [fetch]
 * @returns {() => void} The end of it, at once.
 */
export function holdHub(place, fetch) {
  const channel = new BroadcastChannel(place);
  const hub = createHub({
    post: (to, message) => channel.postMessage({ to, message }),
    // A tab that crashes sends no message, but its lock becomes free.
    watch(lock, gone) {
      void globalThis.navigator?.locks?.request(lock, gone).catch(() => {});
    },
    fetch,
  });
  channel.onmessage = ({ data: { from, message } }) => from && hub.onMessage(from, message);
  channel.postMessage({ message: { kind: 'hello' } });
  return () => {
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
export const holdFor = (place) => (place.startsWith(`${PROTOCOL} `) ? holdHub(place) : null);

/**
 * @param {string} place  The lock's name, too.
 * @param {AbortSignal} signal  The end of it.
 * @param {typeof fetch | undefined} fetch
 * @param {boolean} alone  Nobody else speaks there.
 * @returns {Promise<unknown>} At the end. Rejects where there are no locks.
 */
export async function lead(place, signal, fetch, alone) {
  const begin = () =>
    new Promise((resolve) => {
      if (signal.aborted) return resolve(null);
      const end = holdHub(place, fetch);
      signal.addEventListener('abort', () => resolve(end()));
    });
  return alone ? begin() : navigator.locks.request(place, { signal }, begin);
}
