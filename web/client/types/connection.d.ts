/**
 * connecting: not yet joined. live: joined; a client has this state only once it has data. stale: was live, is
 * joining again. offline: the browser reports no network (attempts continue). stopped: no attempts until `start()`.
 * @typedef {'connecting' | 'live' | 'stale' | 'offline' | 'stopped'} StreamState
 */
/**
 * `data` is parsed JSON, null if it could not be parsed. The warning that the session ends soon is a `beat`; every
 * beat has `ends`, the time of the end (milliseconds since 1970), or null while it does not end soon.
 * @typedef {{type: string, id: string, data: any}} LiveEvent
 */
/**
 * What keeps a stream from working, where it is not an outage. no-content: the server answered 204, there is no
 * stream for this person; it is stopped. too-large: an event has more characters than are read (`LARGEST`); it is
 * stopped. redirect: the address redirects endlessly or to a forbidden address; it is tried again after the longest
 * pause. not-found: there is no stream at the address (404, 410); it is tried again after the longest pause.
 * @typedef {'no-content' | 'too-large' | 'redirect' | 'not-found'} Fault
 */
/**
 * `id` is the position of the event itself; empty where it has none.
 * @typedef {object} Source
 * @property {import('./observable.js').Readable<StreamState>} state
 * @property {import('./observable.js').Readable<Fault | null>} [fault]  null while only the network can be the problem.
 * @property {(userId?: string) => void} start  Join as this person; where that is done already, join again without a change of state.
 * @property {() => void} stop   Leave, until `start()`.
 * @property {() => void} [dispose]  Leave for good: no listener stays.
 * @property {(names: Iterable<string>) => void} follow  Request these values from now on (at most 50).
 * @property {(options?: {backoff?: boolean}) => void} reconnect  Join again after the cursor: now, or with backoff as after a failure.
 */
/** @typedef {{type: string, onLine: boolean}} Wake  What happened to a page, by the event's type, and whether there is a network. */
/**
 * A source that is notified of events around it.
 * @typedef {Omit<Source, 'start'> & {
 *   start: (how?: {backoff?: boolean | undefined}) => void,
 *   pause: () => void,
 *   wake: (news: Wake) => void,
 *   user: () => string | null,
 * }} Connection  pause: send no events, and continue from here at `start()`. user: the owner of the journal, as the server names them.
 */
/**
 * @typedef {object} ConnectionOptions
 * @property {(event: LiveEvent) => void} onEvent
 * @property {() => string | null} cursor  The last position applied; called before every attempt.
 * @property {() => void} [onRefused]  A requested value does not exist, or belongs to another person. The stream is tried again.
 * @property {string} url
 * @property {number} heartbeat  Seconds between the server's heartbeats. Silence of 2.5 times that ends an attempt.
 * @property {number | undefined} [base]       Seconds; first backoff, default 1. A `retry:` line replaces it.
 * @property {number | undefined} [cap]        Seconds; longest backoff, default 30.
 * @property {string | null} [user]  The owner that the journal must have; default the first one.
 * @property {typeof fetch | undefined} [fetch]
 * @property {() => number} [random]
 */
/**
 * @param {ConnectionOptions} options
 * @returns {Connection}
 */
export function createConnection(options: ConnectionOptions): Connection;
/**
 * connecting: not yet joined. live: joined; a client has this state only once it has data. stale: was live, is
 * joining again. offline: the browser reports no network (attempts continue). stopped: no attempts until `start()`.
 */
export type StreamState = "connecting" | "live" | "stale" | "offline" | "stopped";
/**
 * `data` is parsed JSON, null if it could not be parsed. The warning that the session ends soon is a `beat`; every
 * beat has `ends`, the time of the end (milliseconds since 1970), or null while it does not end soon.
 */
export type LiveEvent = {
    type: string;
    id: string;
    data: any;
};
/**
 * What keeps a stream from working, where it is not an outage. no-content: the server answered 204, there is no
 * stream for this person; it is stopped. too-large: an event has more characters than are read (`LARGEST`); it is
 * stopped. redirect: the address redirects endlessly or to a forbidden address; it is tried again after the longest
 * pause. not-found: there is no stream at the address (404, 410); it is tried again after the longest pause.
 */
export type Fault = "no-content" | "too-large" | "redirect" | "not-found";
/**
 * `id` is the position of the event itself; empty where it has none.
 */
export type Source = {
    state: import("./observable.js").Readable<StreamState>;
    /**
     * null while only the network can be the problem.
     */
    fault?: import("./observable.js").Readable<Fault | null> | undefined;
    /**
     * Join as this person; where that is done already, join again without a change of state.
     */
    start: (userId?: string) => void;
    /**
     * Leave, until `start()`.
     */
    stop: () => void;
    /**
     * Leave for good: no listener stays.
     */
    dispose?: (() => void) | undefined;
    /**
     * Request these values from now on (at most 50).
     */
    follow: (names: Iterable<string>) => void;
    /**
     * Join again after the cursor: now, or with backoff as after a failure.
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
 * pause: send no events, and continue from here at `start()`. user: the owner of the journal, as the server names them.
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
     * The last position applied; called before every attempt.
     */
    cursor: () => string | null;
    /**
     * A requested value does not exist, or belongs to another person. The stream is tried again.
     */
    onRefused?: (() => void) | undefined;
    url: string;
    /**
     * Seconds between the server's heartbeats. Silence of 2.5 times that ends an attempt.
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
     * The owner that the journal must have; default the first one.
     */
    user?: string | null | undefined;
    fetch?: typeof fetch | undefined;
    random?: (() => number) | undefined;
};
