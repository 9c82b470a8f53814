/**
 * @param {SharedOptions} options
 * @returns {import('./connection.js').Source}
 */
export function createSharedStream(options: SharedOptions): import("./connection.js").Source;
export type Said = import("./hub.js").Said;
export type Told = import("./hub.js").Told;
/**
 * share: the best way to try; default "worker", with a `fetch` "lock".
 */
export type SharedOptions = import("./stream.js").StreamOptions & {
    share?: "worker" | "lock" | "none";
};
