/**
 * What follows from an event that does not follow: join again after the last position, and if that did not help, from a
 * snapshot. It promises never to skip over what is missing.
 */
/**
 * @param {import('./store.js').Store} store
 * @param {(how: {backoff: boolean}) => void} reconnect
 * @returns {(event: import('./stream.js').LiveEvent) => import('./store.js').Verdict} Applies an event.
 */
export function createFollower(store: import("./store.js").Store, reconnect: (how: {
    backoff: boolean;
}) => void): (event: import("./stream.js").LiveEvent) => import("./store.js").Verdict;
