/**
 * The client for React: each readable as a hook over `useSyncExternalStore`, and mutations as hooks. A component reads the
 * fold of base and pending, so it needs no state of its own; `useOptimistic` may be used on top for changes that only one
 * screen shows.
 */
import { useEffect, useLayoutEffect, useMemo, useSyncExternalStore } from 'react';
import { createCell, same } from './observable.js';

/** @typedef {import('./operation.js').Progress} Progress */

/**
 * @template [G=unknown]
 * @typedef {import('./typing.js').Client<G>} Client
 */

/**
 * @template [A=any]
 * @template [I=any]
 * @typedef {import('./operation.js').Operation<A, I>} Operation
 */

/**
 * @template T
 * @typedef {import('./observable.js').Readable<T>} Readable
 */

/**
 * @template T
 * @param {Readable<T>} readable  The same one on every render.
 * @returns {T}
 */
export function useReadable(readable) {
  return useSyncExternalStore(readable.subscribe, readable.get, readable.get);
}

/** @param {Pick<Client, 'connection'>} client */
export const useConnection = (client) => useReadable(client.connection);

/**
 * The signed-in person, from `createSession`.
 * @param {Pick<import('./session.js').SessionHelper, 'get' | 'subscribe'>} session
 * @returns {import('./session.js').Session}
 */
export function useSession(session) {
  const stable = useMemo(() => {
    let last = session.get();
    // React needs the same object for the same content.
    const get = () => {
      const now = session.get();
      return same(last, now) ? last : (last = now);
    };
    return { get, subscribe: session.subscribe };
  }, [session]);
  return useReadable(stable);
}

/**
 * All sagas, or those of a type, in the order they became known.
 * @template G
 * @template {import('./typing.js').SagaType<G>} [T=import('./typing.js').SagaType<G>]
 * @param {Client<G>} client
 * @param {T} [type]
 * @returns {readonly import('./typing.js').SagaOf<G, T>[]}
 */
export const useSagas = (client, type) =>
  useReadable(useMemo(() => /** @type {any} */ (client).sagas(type), [client, type]));

/**
 * @template G
 * @template {import('./typing.js').SagaType<G>} [T=import('./typing.js').SagaType<G>]
 * @param {Client<G>} client
 * @param {string} id  The saga's, or that of the mutation that started it.
 * @param {T} [type]  A saga of another type counts as unknown.
 * @returns {import('./typing.js').SagaOf<G, T> | undefined}
 */
export const useSaga = (client, id, type) =>
  useReadable(useMemo(() => /** @type {any} */ (client).saga(id, type), [client, id, type]));

/**
 * A value, followed for as long as a component shows it.
 * @template G
 * @template {import('./typing.js').ValueName<G>} N
 * @param {Client<G>} client
 * @param {N} name
 * @returns {import('./typing.js').ValueOf<G, N> | undefined}
 */
export function useValue(client, name) {
  useEffect(() => client.subscribe([name]), [client, name]);
  return useReadable(useMemo(() => /** @type {any} */ (client).value(name), [client, name]));
}

/** The first version of values that a component waits for, by client and name. @type {WeakMap<object, Map<string, Promise<void>>>} */
const arrivals = new WeakMap();
/** Seconds that a value is requested for a component that suspends, and so cannot request it itself. */
const LONGEST_SUSPENSION = 60;

/**
 * A value, with Suspense: the component is suspended until the first version is there. Use it only in the browser (on a
 * server no value ever arrives).
 * @template G
 * @template {import('./typing.js').ValueName<G>} N
 * @param {Client<G>} client
 * @param {N} name
 * @returns {import('./typing.js').ValueOf<G, N>}
 */
export function useValueSuspense(client, name) {
  const value = useValue(client, name);
  if (value === undefined) throw arrival(client, name); // React's protocol, before `use` of version 19, too
  return /** @type {any} it is there now, or the component is suspended */ (value);
}

/** @param {any} client @param {string} name @returns {Promise<void>} Resolves with the first version, or after a minute. */
function arrival(client, name) {
  const known = arrivals.get(client) ?? new Map();
  arrivals.set(client, known);
  const arriving = known.get(name);
  if (arriving) return arriving;
  const promise = new Promise((/** @type {(value: void) => void} */ resolve) => {
    const ends = [client.subscribe([name]), client.value(name).subscribe(end)];
    const timer = setTimeout(end, LONGEST_SUSPENSION * 1000);
    function end() {
      clearTimeout(timer);
      for (const leave of ends) leave();
      known.delete(name);
      resolve();
    }
  });
  known.set(name, promise);
  return promise;
}

/** @type {Readable<Progress | null>} */
const NOTHING = { get: () => null, subscribe: () => () => {} };

/**
 * Where an operation is, and what a person can do about it; null for none.
 * @param {Operation | null | undefined} operation
 * @returns {(Progress & {pending: boolean, retry: () => void, dismiss: () => void}) | null} pending: it has not ended, and is not left to the person. retry:
 *   send it again now, with the same key. dismiss: stop showing it; the server may have it.
 */
export function useOperation(operation) {
  const progress = useReadable(operation?.progress ?? NOTHING);
  return useMemo(
    () =>
      operation && progress
        ? { ...progress, pending: isPending(progress), retry: operation.retry, dismiss: operation.dismiss }
        : null,
    [operation, progress],
  );
}

/** @param {Progress} progress */
const isPending = ({ ended, gaveUp }) => !ended && !gaveUp;

/**
 * A function of `define` or of `mutate`, with its newest operation.
 * @template I
 * @template A
 * @param {(input: I) => Operation<A, I>} mutate
 * @returns {[(input: I) => Operation<A, I>, ReturnType<typeof useOperation>]}
 */
export function useMutation(mutate) {
  const newest = useMemo(
    () => createCell(/** @type {{operation: Operation<A, I> | null}} */ ({ operation: null })),
    [mutate],
  );
  const { operation } = useReadable(newest);
  const run = useMemo(
    () => (/** @type {I} */ input) => {
      const begun = mutate(input);
      newest.set({ operation: begun });
      return begun;
    },
    [mutate, newest],
  );
  return [run, useOperation(operation)];
}

/**
 * Tells a monitor with `commits: 'told'` of each commit of this component, for one that shows the client's state in a
 * transition or behind a deferred value. The other hooks commit before the next frame, and need nothing of it.
 * @param {Pick<import('./rum.js').RealUserMonitor, 'committed'>} monitor
 */
export function useCommitted(monitor) {
  useLayoutEffect(() => monitor.committed());
}
