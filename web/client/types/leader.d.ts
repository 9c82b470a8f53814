/**
 * @param {string} place  The channel's name.
 * @param {typeof fetch | undefined} [fetch]
 * @returns {() => void} The end of it, at once.
 */
export function holdHub(place: string, fetch?: typeof globalThis.fetch | undefined): () => void;
/**
 * @param {string} place  The lock's name, too.
 * @param {AbortSignal} signal  The end of it.
 * @param {typeof fetch | undefined} fetch
 * @param {boolean} alone  Nobody else speaks there.
 * @returns {Promise<unknown>} At the end. Rejects where there are no locks.
 */
export function lead(place: string, signal: AbortSignal, fetch: typeof globalThis.fetch | undefined, alone: boolean): Promise<unknown>;
export function holdFor(place: string): (() => void) | null;
