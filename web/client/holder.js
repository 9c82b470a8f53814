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
 * @property {() => {owner: string, state: any} | undefined} seed  Where this tab stands.
 * @property {typeof fetch | undefined} [fetch]
 */

/** @param {Place} place @returns {import('./tabs.js').Link} */
export function holdAlone({ hear, fetch }) {
  const hub = createHub({ post: (_, told) => hear(told), fetch });
  return { post: (said) => hub.hear('', said), close: hub.close };
}

/** @param {Place} place @returns {import('./tabs.js').Link} */
export function holdForAll({ name, hear, failed, seed, fetch }) {
  const id = crypto.randomUUID();
  const channel = new BroadcastChannel(name);
  const over = new AbortController();
  /** @type {ReturnType<typeof createHub> | null} */
  let hub = null;
  channel.onmessage = ({ data: { from, to, said, told } }) => {
    if (said) hub?.hear(from, said);
    else if (to === null || to === id) hear(told);
  };
  const held = new Promise((resolve) => over.signal.addEventListener('abort', resolve));
  navigator.locks
    .request(name, { signal: over.signal }, () => {
      if (over.signal.aborted) return;
      hub = createHub({
        post(to, told) {
          if (to !== id) channel.postMessage({ to, told });
          if (to === null || to === id) hear(told);
        },
        fetch,
        seed: seed(),
      });
      channel.postMessage({ to: null, told: { kind: 'hello' } });
      hear({ kind: 'hello' });
      return held;
    })
    .catch(() => over.signal.aborted || failed());
  return {
    post: (said) => (hub ? hub.hear(id, said) : channel.postMessage({ from: id, said })),
    close() {
      over.abort();
      hub?.close();
      channel.close();
    },
  };
}
