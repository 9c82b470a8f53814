/**
 * @param {object} options
 * @param {(to: string | null, message: Told) => void} options.post  To one tab, or to all.
 * @param {(options: import('./stream.js').StreamOptions) => import('./stream.js').Source} [options.source]
 * @param {typeof fetch | undefined} [options.fetch]
 * @param {{owner: string, state: any} | undefined} [options.seed]  Where a tab that outlived the last hub stands.
 */
export function createHub({ post, source, fetch, seed }: {
    post: (to: string | null, message: Told) => void;
    source?: ((options: import("./stream.js").StreamOptions) => import("./stream.js").Source) | undefined;
    fetch?: typeof globalThis.fetch | undefined;
    seed?: {
        owner: string;
        state: any;
    } | undefined;
}): {
    /** @param {string} from  The tab's id. @param {Said} said */
    hear(from: string, said: Said): void;
    close: () => void;
};
/**
 * What a tab says. join: begin, begin again after a gap, or see whether anybody is there. wake: something happened that a
 * stream should hear of.
 */
export type Said = {
    kind: "join";
    owner: string;
    cursor: string | null;
    names: string[];
    settings: StreamSettings;
} | {
    kind: "watch";
    names: string[];
} | {
    kind: "wake";
    type: string;
    onLine: boolean;
} | {
    kind: "leave";
};
/**
 * What a tab is told. owner: whose journal that is about. hello: a new hub is here, join it. full: it cannot serve you.
 */
export type Told = {
    owner?: string | null;
} & ({
    kind: "event";
    event: import("./stream.js").LiveEvent;
} | {
    kind: "state";
    state: import("./stream.js").StreamState;
} | {
    kind: "hello";
} | {
    kind: "full";
});
export type StreamSettings = {
    url: string;
    heartbeat?: number | undefined;
    base?: number | undefined;
    cap?: number | undefined;
};
