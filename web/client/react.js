/**
 * The client for React: each readable as a hook over `useSyncExternalStore`. A component reads the fold of base and
 * pending, so it needs no state of its own; `useOptimistic` may be used on top for changes that only one screen
 * shows.
 */
import { useEffect, useLayoutEffect, useMemo, useSyncExternalStore } from 'react';

/** @typedef {import('./client.js').Client} Client */

/**
 * @template T
 * @param {import('./observable.js').Readable<T>} readable  The same one on every render.
 * @returns {T}
 */
export function useReadable(readable) {
  return useSyncExternalStore(readable.subscribe, readable.get, readable.get);
}

/** @param {Client} client */
export const useConnection = (client) => useReadable(client.connection);

/** All sagas, in the order they became known. @param {Client} client */
export const useSagas = (client) => useReadable(useMemo(() => client.sagas(), [client]));

/** @param {Client} client @param {string} id  The saga's, or that of the mutation that started it. */
export const useSaga = (client, id) => useReadable(useMemo(() => client.saga(id), [client, id]));

/** A value, followed for as long as a component shows it. @param {Client} client @param {string} name */
export function useValue(client, name) {
  useEffect(() => client.subscribe([name]), [client, name]);
  return useReadable(useMemo(() => client.value(name), [client, name]));
}

/**
 * Tells a monitor with `commits: 'told'` of each commit of this component, for one that shows the client's state in a
 * transition or behind a deferred value. The other hooks commit before the next frame, and need nothing of it.
 * @param {Pick<import('./rum.js').RealUserMonitor, 'committed'>} monitor
 */
export function useCommitted(monitor) {
  useLayoutEffect(() => monitor.committed());
}
