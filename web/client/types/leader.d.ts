/**
 * @param {string} place  The channel's name.
 * @param {typeof fetch | undefined} [fetch]
 * @returns {() => void} Ends it at once.
 */
export function runHub(place: string, fetch?: typeof globalThis.fetch | undefined): () => void;
/**
 * @param {string} place  The lock's name, too.
 * @param {AbortSignal} signal  Ends it.
 * @param {typeof fetch | undefined} fetch
 * @param {boolean} alone  No other tab uses the channel.
 * @returns {Promise<unknown>} Resolves at the end. Rejects where there are no locks.
 */
export function lead(place: string, signal: AbortSignal, fetch: typeof globalThis.fetch | undefined, alone: boolean): Promise<unknown>;
export function runWorkerHub(place: string): (() => void) | null;
