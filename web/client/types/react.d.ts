/** @typedef {import('./client.js').Client} Client */
/**
 * @template T
 * @param {import('./observable.js').Readable<T>} readable  The same one on every render.
 * @returns {T}
 */
export function useReadable<T>(readable: import("./observable.js").Readable<T>): T;
/** A value, followed for as long as a component shows it. @param {Client} client @param {string} name */
export function useValue(client: Client, name: string): import("./store.js").Value | undefined;
/**
 * Tells a monitor with `commits: 'told'` of each commit of this component, for one that shows the client's state in a
 * transition or behind a deferred value. The other hooks commit before the next frame, and need nothing of it.
 * @param {Pick<import('./rum.js').RealUserMonitor, 'committed'>} monitor
 */
export function useCommitted(monitor: Pick<import("./rum.js").RealUserMonitor, "committed">): void;
export function useConnection(client: Client): import("./connection.js").StreamState;
export function useSagas(client: Client): readonly import("./store.js").Saga[];
export function useSaga(client: Client, id: string): import("./store.js").Saga | undefined;
export type Client = import("./client.js").Client;
