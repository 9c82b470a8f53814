/**
 * What follows from an event that does not follow: join again after the last position, and if that did not help, from a
 * snapshot. It promises never to skip over what is missing.
 */

/**
 * @param {import('./store.js').Store} store
 * @param {(how: {backoff: boolean}) => void} reconnect
 * @returns {(event: import('./stream.js').LiveEvent) => import('./store.js').Verdict} Applies an event.
 */
export function createFollower(store, reconnect) {
  let gaps = 0;
  return (event) => {
    const verdict = store.apply(event);
    if (verdict === 'gap') {
      gaps += 1;
      // Resuming did not help: the position itself is not worth keeping.
      if (gaps > 1) store.forget();
      reconnect({ backoff: gaps > 1 });
    } else if (verdict === 'applied' && event.type !== 'value') gaps = 0;
    return verdict;
  };
}
