/** @typedef {import('./connection.js').LiveEvent} LiveEvent */
/** @typedef {import('./connection.js').Source} Source */
/** @typedef {import('./connection.js').StreamState} StreamState */
/**
 * @typedef {Omit<import('./connection.js').ConnectionOptions, 'url' | 'heartbeat'> & {
 *   url?: string | undefined,
 *   heartbeat?: number,
 *   surroundings?: import('./page.js').Surroundings,
 * }} StreamOptions  url: default "/bff/live". heartbeat: seconds, default 15. surroundings: the source of page events;
 *   default the page.
 */
/**
 * @param {StreamOptions} options
 * @returns {Source}
 */
export function createStream({ url, heartbeat, surroundings, ...options }: StreamOptions): Source;
export type LiveEvent = import("./connection.js").LiveEvent;
export type Source = import("./connection.js").Source;
export type StreamState = import("./connection.js").StreamState;
/**
 * url: default "/bff/live". heartbeat: seconds, default 15. surroundings: the source of page events;
 *   default the page.
 */
export type StreamOptions = Omit<import("./connection.js").ConnectionOptions, "url" | "heartbeat"> & {
    url?: string | undefined;
    heartbeat?: number;
    surroundings?: import("./page.js").Surroundings;
};
