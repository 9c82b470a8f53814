/**
 * A message from a tab. join: start, start again from here, request other values, or check whether a hub is there.
 * wake: something happened that concerns a stream.
 * @typedef {{kind: 'join', owner: string, cursor: string | null, names: string[], settings: Settings, backoff?: boolean | undefined}
 *   | ({kind: 'wake'} & import('./connection.js').Wake) | {kind: 'leave'}} Said
 */
/** @typedef {Pick<import('./connection.js').ConnectionOptions, 'url' | 'heartbeat' | 'base' | 'cap' | 'user'>} Settings */
/**
 * A message to a tab. owner: the person that it is about; user: the server's name for them, once known. hello: a new
 * hub is here, join it. full: the hub cannot serve this tab.
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
 * A message from a tab. join: start, start again from here, request other values, or check whether a hub is there.
 * wake: something happened that concerns a stream.
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
 * A message to a tab. owner: the person that it is about; user: the server's name for them, once known. hello: a new
 * hub is here, join it. full: the hub cannot serve this tab.
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
