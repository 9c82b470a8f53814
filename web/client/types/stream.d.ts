/**
 * @param {StreamOptions} options
 * @returns {Source}
 */
export function createStream(options: StreamOptions): Source;
/**
 * connecting: not yet joined. live: joined. stale: was live, being joined again. offline: the browser says there is no
 * network (attempts go on). stopped: nothing is tried until `start()`.
 */
export type StreamState = "connecting" | "live" | "stale" | "offline" | "stopped";
/**
 * `data` is parsed JSON, null if it could not be.
 */
export type LiveEvent = {
    type: string;
    id: string;
    data: any;
};
export type Source = {
    state: import("./observable.js").Readable<StreamState>;
    /**
     * Join as this person; nothing happens if already started.
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
export type StreamOptions = {
    onEvent: (event: LiveEvent) => void;
    /**
     * The last position applied; asked before every attempt.
     */
    cursor: () => string | null;
    /**
     * A value that is asked for does not exist, or is somebody else's. It is tried again.
     */
    onRefused?: (() => void) | undefined;
    /**
     * Default "/bff/live".
     */
    url?: string | undefined;
    /**
     * Seconds between the server's signs of life; default 15. Silence of 2.5 times that ends an attempt.
     */
    heartbeat?: number | undefined;
    /**
     * Seconds; first backoff, default 1. A `retry:` line replaces it.
     */
    base?: number | undefined;
    /**
     * Seconds; longest backoff, default 30.
     */
    cap?: number | undefined;
    fetch?: typeof fetch | undefined;
    random?: (() => number) | undefined;
    /**
     * What it listens to besides the network; default the page.
     */
    surroundings?: import("./page.js").Surroundings | undefined;
};
