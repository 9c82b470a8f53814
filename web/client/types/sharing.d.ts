/** @param {TabState} tab @param {TabEvent} event @returns {TabStep} */
export function step(tab: TabState, event: TabEvent): TabStep;
/**
 * How one tab comes to the shared stream, as a value and pure steps over it: `step(tab, event)` answers the tab after the
 * event and what is to be done. Its table is in docs/reference/client-states.md.
 *
 * There are three modes, the best first: a shared worker, the tab that leads, a stream of this page's own. Each gives way to
 * the next when it fails or falls silent, and after a while the best is tried again, later and later.
 */
/** @typedef {'worker' | 'lock' | 'none'} Mode */
/** @type {readonly Mode[]} */
export const MODES: readonly Mode[];
/** Milliseconds for a hub to answer. */
export const PATIENCE: 5000;
export function createTab(best: number): TabState;
export type Mode = "worker" | "lock" | "none";
export type TabState = {
    /**
     * In `MODES`.
     */
    mode: number;
    /**
     * The best mode there may be.
     */
    best: number;
    /**
     * Whose journal it follows; null while it is stopped.
     */
    userId: string | null;
    /**
     * The same person as the server names them, once it has.
     */
    user: string | null;
    /**
     * Whether it speaks to a hub, or to where one should be.
     */
    linked: boolean;
    /**
     * Whether steps are on their way that the hub sent before it heard that one is missing.
     */
    behind: boolean;
    /**
     * How often a better mode was tried again in vain.
     */
    setbacks: number;
};
/**
 * retry: the pause before the last mode is opened again is over.
 */
export type TabEvent = {
    type: "start";
    userId: string;
} | {
    type: "stop";
} | {
    type: "names";
} | {
    type: "reconnect";
    backoff: boolean | undefined;
} | {
    type: "message";
    message: import("./protocol.js").HubMessage;
} | {
    type: "failed";
} | {
    type: "silence";
    of: "beat" | "answer" | "retry";
} | {
    type: "recover";
} | {
    type: "page";
    name: string;
    hidden: boolean;
};
/**
 * open, close: the link to a hub. join, wake: say so. wait: for silence, in place of what was waited for. recover: try a
 * better mode after so many milliseconds. deliver: hand an event to the client. state, fault: tell the client.
 */
export type TabEffect = {
    type: "open";
    mode: Mode;
} | {
    type: "close";
} | {
    type: "join";
    backoff?: boolean | undefined;
} | {
    type: "wake";
    name: string;
} | {
    type: "wait";
    for: "beat" | "answer" | "retry";
} | {
    type: "recover";
    after: number;
} | {
    type: "deliver";
    event: import("./connection.js").LiveEvent;
} | {
    type: "state";
    state: import("./connection.js").StreamState;
} | {
    type: "fault";
    fault: import("./connection.js").Fault | null;
};
export type TabStep = {
    tab: TabState;
    effects: readonly TabEffect[];
};
