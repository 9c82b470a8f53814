/**
 * @typedef {import('./stream.js').StreamOptions & {
 *   share?: import('./sharing.js').Mode,
 * }} SharedOptions  share: the best mode to try; default "worker", with a `fetch` "lock".
 */
/**
 * @param {SharedOptions} options
 * @returns {import('./connection.js').Source}
 */
export function createSharedStream(options: SharedOptions): import("./connection.js").Source;
/**
 * share: the best mode to try; default "worker", with a `fetch` "lock".
 */
export type SharedOptions = import("./stream.js").StreamOptions & {
    share?: import("./sharing.js").Mode;
};
