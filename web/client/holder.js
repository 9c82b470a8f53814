/**
 * Where a hub runs: it uses a channel on which every tab receives every message, and handles the messages for it. A
 * page loads this only where there is no shared worker: the tab that gets the Web Lock runs the hub for all, and when
 * that tab closes the next one gets the lock at once; or each page runs its own hub.
 */
import { createHub } from './hub.js';

/**
 * @param {string} place  The channel's name.
 * @param {typeof fetch | undefined} [fetch]
 * @returns {() => void} Ends it at once.
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
 * @param {AbortSignal} signal  Ends it.
 * @param {typeof fetch | undefined} fetch
 * @param {boolean} alone  No other tab uses the channel.
 * @returns {Promise<unknown>} Resolves at the end. Rejects where there are no locks.
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
