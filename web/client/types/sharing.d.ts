/** @param {TabState} tab @param {TabEvent} event @returns {TabStep} */
export function step(tab: TabState, event: TabEvent): TabStep;
/**
 * How one tab shares the stream, as a value with pure transitions: `step(tab, event)` returns the next tab and a list of
 * effects. The table is in docs/reference/client-states.md.
 *
 * There are three modes, the best first: a shared worker, a leading tab, a stream of this page alone. When a mode fails or is
 * silent the next one is used; after a pause the best one is tried again, and the pauses grow until an event arrives in the
 * best mode.
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
     * The best mode that is allowed.
     */
    best: number;
    /**
     * The person of the journal; null while it is stopped.
     */
    userId: string | null;
    /**
     * The same person as the server names them, once it has.
     */
    user: string | null;
    /**
     * Whether it has a channel to a hub.
     */
    linked: boolean;
    /**
     * Whether saga events may arrive that the hub sent before it learned of a gap.
     */
    behind: boolean;
    /**
     * How often the best mode was tried again without success.
     */
    setbacks: number;
};
/**
 * retry: the pause before the last mode is opened again has ended.
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
 * open, close: the channel to a hub. join, wake: send this message. wait: set the timer for `silence`, instead of the one
 * before. recover: set the timer for `recover` (milliseconds). deliver: pass an event to the client. state, fault: set it.
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
