/**
 * What tabs and the hub say to each other, and the name of that language. Both ends must speak alike: pages of two
 * deployments, or a page and another deployment's worker, have channels of their own when their messages differ. A test
 * holds the name to this file.
 */
export const PROTOCOL: "bff-live-65439111";
export type Settings = {
    url: string;
    /**
     * Seconds.
     */
    heartbeat: number;
    base?: number | undefined;
    cap?: number | undefined;
    /**
     * Whose journal it must be, as the server names them.
     */
    user?: string | null | undefined;
};
/**
 * What a tab says. join: begin, begin again from here, ask for other values, or see whether anybody is there; lock: the name
 * of a Web Lock that this tab holds for as long as it lives. wake: something happened that a stream should hear of, by the
 * event's type. leave: it goes.
 */
export type TabMessage = {
    kind: "join";
    userId: string;
    cursor: string | null;
    names: string[];
    settings: Settings;
    lock?: string | null;
    backoff?: boolean | undefined;
} | {
    kind: "wake";
    type: string;
    onLine: boolean;
} | {
    kind: "leave";
};
/**
 * What the hub says. userId: whose journal that is about; user: the server's name for them, once known. hello: a new hub is
 * here, join it. full: it cannot serve you.
 */
export type HubMessage = {
    userId?: string | null;
    user?: string | null | undefined;
} & ({
    kind: "event";
    event: {
        type: string;
        id: string;
        data: any;
    };
} | {
    kind: "state";
    state: "connecting" | "live" | "stale" | "offline" | "stopped";
    fault?: "no-content" | "too-large" | "redirect" | "not-found" | null | undefined;
} | {
    kind: "hello";
} | {
    kind: "full";
});
