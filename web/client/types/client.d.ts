/** @param {ClientOptions} [options] */
export function createUntyped(options?: ClientOptions): {
    /** @type {Readable<import('./connection.js').StreamState>} */
    connection: Readable<import("./connection.js").StreamState>;
    /**
     * The fault that keeps the stream from working, where it is neither an outage nor the end of the session; null
     * without one.
     * @type {Readable<import('./connection.js').Fault | null>}
     */
    fault: Readable<import("./connection.js").Fault | null>;
    /**
     * When the session ends (milliseconds since 1970), from half a minute before; null while it does not end soon.
     * Call `start` again once the person has signed in again.
     * @type {Readable<number | null>}
     */
    sessionExpiresAt: Readable<number | null>;
    /**
     * The current position in the journal, and when the stream last received anything, heartbeats included
     * (milliseconds since 1970; null before the first byte). It is read, and has no subscription: it changes without
     * a change of anything else.
     */
    status: () => {
        position: string | null;
        heardAt: number | null;
    };
    /**
     * Follow this person's journal, and resume mutations that a reload interrupted. Where it is followed already the
     * stream is joined again without a change of state, because the session may be another one.
     * @param {{userId: string}} who  Anything that identifies the person, for example the token's `sub`.
     * @returns {import('./operation.js').Operation[]} The resumed mutations.
     */
    start(who: {
        userId: string;
    }): import("./operation.js").Operation[];
    /** Leave, and delete everything that belongs to the person. */
    stop: () => void;
    /** Stop for good: no listener of the page's events stays, `start` throws, and a mutation is rejected with status 401. */
    dispose(): void;
    /**
     * Be notified when another person, or the same one again, starts in another tab: time to ask who is signed in.
     * @param {() => void} listener
     * @returns {() => void} Ends the subscription.
     */
    onSessionChange(listener: () => void): () => void;
    /**
     * Request values, for example `stock/mug-01`; they arrive at once and whenever they change. A stream carries 50: of
     * more, the last ones wait until other subscriptions end, and an error is reported.
     * @param {Iterable<string>} names
     * @returns {() => void} Ends the request. A value stays while another part of the page requests it.
     */
    subscribe(names: Iterable<string>): () => void;
    /**
     * A value learned elsewhere, for example from a screen; it counts only if its version is newer.
     * @param {Iterable<{name: string, version: number, data: any, at?: string}>} values
     */
    setValues(values: Iterable<{
        name: string;
        version: number;
        data: any;
        at?: string;
    }>): void;
    /**
     * @param {string} id  The saga's id, or that of the mutation that started it.
     * @param {string} [type]  A saga of another type counts as unknown.
     * @returns {Readable<Saga | undefined>}
     */
    saga: (id: string, type?: string) => Readable<Saga | undefined>;
    /**
     * All of them, or those of a type, in the order they became known.
     * @param {string} [type]
     * @returns {Readable<readonly Saga[]>}
     */
    sagas: (type?: string) => Readable<readonly Saga[]>;
    /** @param {string} name @returns {Readable<Value | undefined>} */
    value: (name: string) => Readable<Value | undefined>;
    /**
     * The request of a command by its path as it is declared, for `define` and `mutate`; below the client's prefix.
     * @param {string} method
     * @param {string} path
     * @param {import('./request.js').Parts} [parts]
     */
    request: (method: string, path: string, parts?: import("./request.js").Parts) => import("./send.js").RequestData;
    operation: (id: string) => import("./mutations.js").Operation | undefined;
    onRestored: (listener: (operation: import("./mutations.js").Operation) => void) => () => void;
    onSettled: (listener: (settlement: import("./mutations.js").Settlement) => void) => () => void;
    mutate: (definition: import("./mutations.js").Definition) => import("./mutations.js").Operation;
    takeUpLater: ({ id, name, input }: import("./mutations.js").Operation) => boolean;
    define: <I>(name: string, kind: import("./mutations.js").Kind<I>) => (input: I) => import("./mutations.js").Operation;
};
/** @typedef {import('./store.js').Saga} Saga */
/** @typedef {import('./store.js').Value} Value */
/** @typedef {import('./operation.js').Definition} Definition */
/** @typedef {import('./operation.js').Operation} Operation */
/** @typedef {import('./mutations.js').Settlement} Settlement */
/**
 * @template I
 * @typedef {import('./mutations.js').Kind<I>} Kind
 */
/**
 * @template T
 * @typedef {import('./observable.js').Readable<T>} Readable
 */
/**
 * @typedef {object} ClientOptions
 * @property {string} [prefix]  The path below which the gateway is reached, "/desk"; default none.
 * @property {string} [url]     The live stream; default "/bff/live" below the prefix.
 * @property {typeof fetch} [fetch]
 * @property {import('./pending.js').KeyValue | null} [storage]  Stores what must survive a reload; default sessionStorage.
 * @property {import('./mutations.js').Monitor} [monitor]  Begins traces at the click and measures what was painted; see rum.js.
 * @property {Omit<Partial<import('./tabs.js').SharedOptions>, 'onEvent' | 'cursor'>} [stream]
 * @property {Omit<Partial<import('./mutations.js').Host>, 'store' | 'listeners' | 'isLive'>} [mutations]
 * @property {(options: import('./tabs.js').SharedOptions) => import('./connection.js').Source} [source]  Another source of
 *   events, for example `createStream` for a stream of this page alone; default one stream for all tabs of the browser.
 */
/**
 * A client. With the types of a gateway it knows its sagas, values and commands:
 * `createClient<{components: components, paths: paths}>()`.
 * @type {<G = unknown>(options?: ClientOptions) => import('./typing.js').Client<G>}
 */
export const createClient: <G = unknown>(options?: ClientOptions) => import("./typing.js").Client<G>;
export type Saga = import("./store.js").Saga;
export type Value = import("./store.js").Value;
export type Definition = import("./operation.js").Definition;
export type Operation = import("./operation.js").Operation;
export type Settlement = import("./mutations.js").Settlement;
export type Kind<I> = import("./mutations.js").Kind<I>;
export type Readable<T> = import("./observable.js").Readable<T>;
export type ClientOptions = {
    /**
     * The path below which the gateway is reached, "/desk"; default none.
     */
    prefix?: string | undefined;
    /**
     * The live stream; default "/bff/live" below the prefix.
     */
    url?: string | undefined;
    fetch?: typeof fetch | undefined;
    /**
     * Stores what must survive a reload; default sessionStorage.
     */
    storage?: import("./pending.js").KeyValue | null | undefined;
    /**
     * Begins traces at the click and measures what was painted; see rum.js.
     */
    monitor?: import("./mutations.js").Monitor | undefined;
    stream?: Omit<Partial<import("./tabs.js").SharedOptions>, "cursor" | "onEvent"> | undefined;
    mutations?: Omit<Partial<import("./mutations.js").Host>, "store" | "listeners" | "isLive"> | undefined;
    /**
     * Another source of
     * events, for example `createStream` for a stream of this page alone; default one stream for all tabs of the browser.
     */
    source?: ((options: import("./tabs.js").SharedOptions) => import("./connection.js").Source) | undefined;
};
export type Client<G = unknown> = import("./typing.js").Client<G>;
