/**
 * Where a hub is held: it speaks over a channel on which every tab hears everything, and takes what is for it. In a page it
 * is loaded only where there is no shared worker: the tab that gets the Web Lock holds it for all, and when that tab goes
 * the lock goes to the next at once; or each page holds one for itself.
 */
import { createHub } from './hub.js';

/**
 * @param {string} place  The channel's name.
 * @param {typeof fetch | undefined} [fetch]
 * @returns {() => void} The end of it, at once.
 */
export function hold(place, fetch) {
  const channel = new BroadcastChannel(place);
  const hub = createHub({ post: (to, told) => channel.postMessage({ to, told }), fetch });
  channel.onmessage = ({ data: { from, said } }) => said && hub.hear(from, said);
  channel.postMessage({ told: { kind: 'hello' } });
  return () => {
    hub.close();
    channel.close();
  };
}

/**
 * @param {string} place  The lock's name, too.
 * @param {AbortSignal} signal  The end of it.
 * @param {typeof fetch | undefined} fetch
 * @param {boolean} alone  Nobody else speaks there.
 * @returns {Promise<unknown>} At the end. Rejects where there are no locks.
 */
export async function holdHere(place, signal, fetch, alone) {
  const begin = () =>
    new Promise((resolve) => {
      if (signal.aborted) return resolve(null);
      const end = hold(place, fetch);
      signal.onabort = () => resolve(end());
    });
  return alone ? begin() : navigator.locks.request(place, { signal }, begin);
}
