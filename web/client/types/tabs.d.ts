/**
 * @param {SharedOptions} options
 * @returns {import('./stream.js').Source}
 */
export function createSharedStream(options: SharedOptions): import("./stream.js").Source;
export type Said = import("./hub.js").Said;
export type Told = import("./hub.js").Told;
/**
 * A way to a hub.
 */
export type Link = {
    post: (said: Said) => unknown;
    close: () => unknown;
};
export type Means = (hear: (told: Told) => void, failed: () => void) => Link;
/**
 * share: the best means to try; default "worker". snapshot: where this tab stands, for a hub to go on from.
 *   still: whether it is still this person's browser; asked before joining, so that nobody follows another's journal.
 */
export type SharedOptions = import("./stream.js").StreamOptions & {
    share?: "worker" | "lock" | "none";
    snapshot?: () => any;
    still?: () => boolean;
};
