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
export function useReadable<T>(readable: Readable<T>): T;
/**
 * The signed-in person, from `createSession`.
 * @param {Pick<import('./session.js').SessionHelper, 'get' | 'subscribe'>} session
 * @returns {import('./session.js').Session}
 */
export function useSession(session: Pick<import("./session.js").SessionHelper, "get" | "subscribe">): import("./session.js").Session;
/**
 * A value, followed for as long as a component shows it.
 * @template G
 * @template {import('./typing.js').ValueName<G>} N
 * @param {Client<G>} client
 * @param {N} name
 * @returns {import('./typing.js').ValueOf<G, N> | undefined}
 */
export function useValue<G, N extends import("./typing.js").ValueName<G>>(client: Client<G>, name: N): import("./typing.js").ValueOf<G, N> | undefined;
/**
 * A value, with Suspense: the component is suspended until the first version is there. Use it only in the browser (on a
 * server no value ever arrives).
 * @template G
 * @template {import('./typing.js').ValueName<G>} N
 * @param {Client<G>} client
 * @param {N} name
 * @returns {import('./typing.js').ValueOf<G, N>}
 */
export function useValueSuspense<G, N extends import("./typing.js").ValueName<G>>(client: Client<G>, name: N): import("./typing.js").ValueOf<G, N>;
/**
 * Where an operation is, and what a person can do about it; null for none.
 * @param {Operation | null | undefined} operation
 * @returns {(Progress & {pending: boolean, retry: () => void, dismiss: () => void}) | null} pending: it has not ended, and is not left to the person. retry:
 *   send it again now, with the same key. dismiss: stop showing it; the server may have it.
 */
export function useOperation(operation: Operation | null | undefined): (Progress & {
    pending: boolean;
    retry: () => void;
    dismiss: () => void;
}) | null;
/**
 * A function of `define` or of `mutate`, with its newest operation.
 * @template I
 * @template A
 * @param {(input: I) => Operation<A, I>} mutate
 * @returns {[(input: I) => Operation<A, I>, ReturnType<typeof useOperation>]}
 */
export function useMutation<I, A>(mutate: (input: I) => Operation<A, I>): [(input: I) => Operation<A, I>, ReturnType<typeof useOperation>];
/**
 * Tells a monitor with `commits: 'told'` of each commit of this component, for one that shows the client's state in a
 * transition or behind a deferred value. The other hooks commit before the next frame, and need nothing of it.
 * @param {Pick<import('./rum.js').RealUserMonitor, 'committed'>} monitor
 */
export function useCommitted(monitor: Pick<import("./rum.js").RealUserMonitor, "committed">): void;
export function useConnection(client: Pick<Client, "connection">): import("./connection.js").StreamState;
export function useSagas<G, T extends import("./typing.js").SagaType<G> = import("./typing.js").SagaType<G>>(client: Client<G>, type?: T): readonly import("./typing.js").SagaOf<G, T>[];
export function useSaga<G, T extends import("./typing.js").SagaType<G> = import("./typing.js").SagaType<G>>(client: Client<G>, id: string, type?: T): import("./typing.js").SagaOf<G, T> | undefined;
export type Progress = import("./operation.js").Progress;
export type Client<G = unknown> = import("./typing.js").Client<G>;
export type Operation<A = any, I = any> = import("./operation.js").Operation<A, I>;
export type Readable<T> = import("./observable.js").Readable<T>;
