/**
 * What a tab says. join: begin, begin again from here, ask for other values, or see whether anybody is there. wake:
 * something happened that a stream should hear of.
 * @typedef {{kind: 'join', owner: string, cursor: string | null, names: string[], settings: Settings, backoff?: boolean | undefined}
 *   | ({kind: 'wake'} & import('./connection.js').Wake) | {kind: 'leave'}} Said
 */
/** @typedef {Pick<import('./connection.js').ConnectionOptions, 'url' | 'heartbeat' | 'base' | 'cap' | 'user'>} Settings */
/**
 * What a tab is told. owner: whose journal that is about; user: the server's name for them, once known. hello: a new hub is
 * here, join it. full: it cannot serve you.
 * @typedef {{owner?: string | null, user?: string | null | undefined} & (
 *   {kind: 'event', event: import('./connection.js').LiveEvent}
 *   | {kind: 'state', state: import('./connection.js').StreamState, fault?: import('./connection.js').Fault | null | undefined} | {kind: 'hello'} | {kind: 'full'})} Told
 */
/**
 * @param {object} options
 * @param {(to: string[], told: Told) => void} options.post  To these tabs.
 * @param {(options: import('./connection.js').ConnectionOptions) => import('./connection.js').Connection} [options.source]
 * @param {typeof fetch | undefined} [options.fetch]
 */
export function createHub({ post, source, fetch }: {
    post: (to: string[], told: Told) => void;
    source?: ((options: import("./connection.js").ConnectionOptions) => import("./connection.js").Connection) | undefined;
    fetch?: typeof globalThis.fetch | undefined;
}): {
    /** @param {string} from  A tab. @param {Said} said */
    hear(from: string, said: Said): void;
    close: () => void;
};
/**
 * What a tab says. join: begin, begin again from here, ask for other values, or see whether anybody is there. wake:
 * something happened that a stream should hear of.
 */
export type Said = {
    kind: "join";
    owner: string;
    cursor: string | null;
    names: string[];
    settings: Settings;
    backoff?: boolean | undefined;
} | ({
    kind: "wake";
} & import("./connection.js").Wake) | {
    kind: "leave";
};
export type Settings = Pick<import("./connection.js").ConnectionOptions, "url" | "heartbeat" | "base" | "cap" | "user">;
/**
 * What a tab is told. owner: whose journal that is about; user: the server's name for them, once known. hello: a new hub is
 * here, join it. full: it cannot serve you.
 */
export type Told = {
    owner?: string | null;
    user?: string | null | undefined;
} & ({
    kind: "event";
    event: import("./connection.js").LiveEvent;
} | {
    kind: "state";
    state: import("./connection.js").StreamState;
    fault?: import("./connection.js").Fault | null | undefined;
} | {
    kind: "hello";
} | {
    kind: "full";
});
