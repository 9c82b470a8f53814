/**
 * Where a hub is held: it speaks over a channel on which every tab hears everything, and takes what is for it. In a page it
 * is loaded only where there is no shared worker: the tab that gets the Web Lock leads and holds it for all, and when that
 * tab goes the lock goes to the next at once; or each page holds one for itself.
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
    // A tab that crashed says nothing; its lock is free then.
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
 * As a shared worker of this name does: not for tabs that speak another protocol than this file, which a cache may have kept
 * from another deployment. They hear nothing, and share in another way.
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
