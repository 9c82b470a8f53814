/** @typedef {import('./client.js').Client} Client */
/**
 * @template T
 * @param {import('./observable.js').Readable<T>} readable  The same one on every render.
 * @returns {T}
 */
export function useReadable<T>(readable: import("./observable.js").Readable<T>): T;
/** A value, followed for as long as a component shows it. @param {Client} client @param {string} name */
export function useValue(client: Client, name: string): import("./store.js").Value | undefined;
export function useConnection(client: Client): import("./connection.js").StreamState;
export function useSagas(client: Client): readonly import("./store.js").Saga[];
export function useSaga(client: Client, id: string): import("./store.js").Saga | undefined;
export type Client = import("./client.js").Client;
