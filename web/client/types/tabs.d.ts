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
    post: (said: Said) => void;
    close: () => void;
};
/**
 * share: the best means to try; default "worker". snapshot: where this tab stands, for a hub to go on from.
 */
export type SharedOptions = import("./stream.js").StreamOptions & {
    share?: "worker" | "lock" | "none";
    snapshot?: () => any;
};
