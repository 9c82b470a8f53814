/**
 * connecting: not yet joined. live: joined; a client says so only once it has a state. stale: was live, being joined again. offline: the browser says there is no
 * network (attempts go on). stopped: nothing is tried until `start()`.
 * @typedef {'connecting' | 'live' | 'stale' | 'offline' | 'stopped'} StreamState
 */
/**
 * `data` is parsed JSON, null if it could not be. The word that the session ends soon comes as a `beat`; every beat has
 * `ends`, when that will be (milliseconds since 1970), null while it is not soon.
 * @typedef {{type: string, id: string, data: any}} LiveEvent
 */
/**
 * What keeps a stream from working, where that is no outage. no-content: the server answered 204, there is no stream for this
 * person; it is stopped. too-large: an event has more characters than are read (`LARGEST`); it is stopped. redirect: the address
 * redirects without end or to where the page may not go; it is tried again after the longest pause.
 * @typedef {'no-content' | 'too-large' | 'redirect'} Fault
 */
/**
 * `id` is the event's own position; empty where it has none.
 * @typedef {object} Source
 * @property {import('./observable.js').Readable<StreamState>} state
 * @property {import('./observable.js').Readable<Fault | null>} [fault]  null while nothing but the network is in the way.
 * @property {(owner?: string) => void} start  Join as this person; where that was done, join anew without a word of it.
 * @property {() => void} stop   Leave, for good until `start()`.
 * @property {(names: Iterable<string>) => void} watch  From now on these values are asked for (at most 50).
 * @property {(options?: {backoff?: boolean}) => void} reconnect  Join again after the cursor; now, or counted as a failure.
 */
/** @typedef {{type: string, onLine: boolean}} Wake  What happened to a page, by the event's type, and whether there is a network. */
/**
 * A source that is told what happens around it.
 * @typedef {Omit<Source, 'start'> & {
 *   start: (how?: {backoff?: boolean | undefined}) => void,
 *   pause: () => void,
 *   wake: (news: Wake) => void,
 *   user: () => string | null,
 * }} Connection  pause: say nothing, and go on from here at `start()`. user: whose journal it is, as the server names them.
 */
/**
 * @typedef {object} ConnectionOptions
 * @property {(event: LiveEvent) => void} onEvent
 * @property {() => string | null} cursor  The last position applied; asked before every attempt.
 * @property {() => void} [onRefused]  A value that is asked for does not exist, or is somebody else's. It is tried again.
 * @property {string} url
 * @property {number} heartbeat  Seconds between the server's signs of life. Silence of 2.5 times that ends an attempt.
 * @property {number | undefined} [base]       Seconds; first backoff, default 1. A `retry:` line replaces it.
 * @property {number | undefined} [cap]        Seconds; longest backoff, default 30.
 * @property {string | null} [user]  Whose journal it must be; default whose it is at first.
 * @property {typeof fetch | undefined} [fetch]
 * @property {() => number} [random]
 */
/**
 * @param {ConnectionOptions} options
 * @returns {Connection}
 */
export function createConnection(options: ConnectionOptions): Connection;
/**
 * connecting: not yet joined. live: joined; a client says so only once it has a state. stale: was live, being joined again. offline: the browser says there is no
 * network (attempts go on). stopped: nothing is tried until `start()`.
 */
export type StreamState = "connecting" | "live" | "stale" | "offline" | "stopped";
/**
 * `data` is parsed JSON, null if it could not be. The word that the session ends soon comes as a `beat`; every beat has
 * `ends`, when that will be (milliseconds since 1970), null while it is not soon.
 */
export type LiveEvent = {
    type: string;
    id: string;
    data: any;
};
/**
 * What keeps a stream from working, where that is no outage. no-content: the server answered 204, there is no stream for this
 * person; it is stopped. too-large: an event has more characters than are read (`LARGEST`); it is stopped. redirect: the address
 * redirects without end or to where the page may not go; it is tried again after the longest pause.
 */
export type Fault = "no-content" | "too-large" | "redirect";
/**
 * `id` is the event's own position; empty where it has none.
 */
export type Source = {
    state: import("./observable.js").Readable<StreamState>;
    /**
     * null while nothing but the network is in the way.
     */
    fault?: import("./observable.js").Readable<Fault | null> | undefined;
    /**
     * Join as this person; where that was done, join anew without a word of it.
     */
    start: (owner?: string) => void;
    /**
     * Leave, for good until `start()`.
     */
    stop: () => void;
    /**
     * From now on these values are asked for (at most 50).
     */
    watch: (names: Iterable<string>) => void;
    /**
     * Join again after the cursor; now, or counted as a failure.
     */
    reconnect: (options?: {
        backoff?: boolean;
    }) => void;
};
/**
 * What happened to a page, by the event's type, and whether there is a network.
 */
export type Wake = {
    type: string;
    onLine: boolean;
};
/**
 * pause: say nothing, and go on from here at `start()`. user: whose journal it is, as the server names them.
 */
export type Connection = Omit<Source, "start"> & {
    start: (how?: {
        backoff?: boolean | undefined;
    }) => void;
    pause: () => void;
    wake: (news: Wake) => void;
    user: () => string | null;
};
export type ConnectionOptions = {
    onEvent: (event: LiveEvent) => void;
    /**
     * The last position applied; asked before every attempt.
     */
    cursor: () => string | null;
    /**
     * A value that is asked for does not exist, or is somebody else's. It is tried again.
     */
    onRefused?: (() => void) | undefined;
    url: string;
    /**
     * Seconds between the server's signs of life. Silence of 2.5 times that ends an attempt.
     */
    heartbeat: number;
    /**
     * Seconds; first backoff, default 1. A `retry:` line replaces it.
     */
    base?: number | undefined;
    /**
     * Seconds; longest backoff, default 30.
     */
    cap?: number | undefined;
    /**
     * Whose journal it must be; default whose it is at first.
     */
    user?: string | null | undefined;
    fetch?: typeof fetch | undefined;
    random?: (() => number) | undefined;
};
