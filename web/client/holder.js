/**
 * A hub in a page: in the tab that holds a Web Lock, which speaks to the others over a BroadcastChannel, or in this page for
 * itself alone. Loaded only where there is no shared worker. When the holding tab goes, the lock goes to the next at once,
 * and its hub goes on from where that tab stands.
 */
import { createHub } from './hub.js';

/** @typedef {import('./hub.js').Said} Said */
/** @typedef {import('./hub.js').Told} Told */

/**
 * @typedef {object} Place
 * @property {string} name   Of the lock and the channel.
 * @property {(told: Told) => void} hear
 * @property {() => void} failed
 * @property {typeof fetch | undefined} [fetch]
 * @property {boolean} alone  For this page only.
 */

/** @param {Place} place @returns {import('./tabs.js').Link} */
export function hold({ name, hear, failed, fetch, alone }) {
  const id = crypto.randomUUID();
  const over = new AbortController();
  const { signal } = over;
  /** @type {ReturnType<typeof createHub<string>> | undefined} */
  let hub;

  function begin() {
    if (signal.aborted) return;
    hub = createHub({
      post(to, told) {
        channel?.postMessage({ to, told });
        if (to.includes(id)) hear(told);
      },
      fetch,
    });
    /** @type {Told} */
    const told = { kind: 'hello' };
    channel?.postMessage({ told });
    hear(told);
    return new Promise((resolve) => signal.addEventListener('abort', resolve));
  }

  // Where there are no locks this throws, before anything is open.
  if (!alone) navigator.locks.request(name, { signal }, begin).catch(() => signal.aborted || failed());
  const channel = alone ? null : new BroadcastChannel(name);
  if (channel)
    channel.onmessage = ({ data: { from, to, said, told } }) => {
      if (said) hub?.hear(from, said);
      else if (!to || to.includes(id)) hear(told);
    };
  else void begin();

  return {
    postMessage: (said) => (hub ? hub.hear(id, said) : channel?.postMessage({ from: id, said })),
    close() {
      over.abort();
      hub?.close();
      channel?.close();
    },
  };
}
