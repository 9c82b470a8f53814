/** @param {HubState} hub @param {HubEvent} event @returns {HubStep} */
export function step(hub: HubState, event: HubEvent): HubStep;
/**
 * The members of a hub and its position in the journal, as a value with pure transitions: `step(hub, event)` returns the
 * next hub and a list of effects. The table is in docs/reference/client-states.md.
 *
 * A hub serves one person at a time, the one who joined last, and stops the tabs of others. A tab whose person is not the
 * owner of the journal is stopped, too. Of the events only the position is stored. A tab that crashed sends no message;
 * its Web Lock is free then, and it no longer counts.
 */
/** @typedef {import('./protocol.js').HubMessage} HubMessage */
/** @typedef {import('./protocol.js').TabMessage & {kind: 'join'}} Join */
/** @typedef {import('./connection.js').StreamState} StreamState */
/** @typedef {import('./connection.js').Fault} Fault */
/** @typedef {{names: readonly string[], lock: string | null}} Member  names: the requested values. lock: the Web Lock that it holds. */
/**
 * @typedef {object} HubState
 * @property {ReadonlyMap<string, Member>} members  The tabs that joined.
 * @property {string | null} userId  The person of the tabs.
 * @property {string | null} user  The same person as the server names them, once it has.
 * @property {string | null} cursor  The position from which the stream is joined again.
 * @property {string} newest  The last tab that requested a value which no other tab had requested.
 * @property {'nothing' | 'something' | 'position'} came  What the stream has sent since the last join.
 * @property {boolean} open  Whether there is a stream.
 * @property {StreamState} state  Of the stream.
 * @property {Fault | null} fault
 */
/**
 * join, leave: a tab's. gone: a lock is free, because its tab has ended. refused: the server refuses a requested value.
 * event, state: the stream's. close: this hub ends, and another one may follow.
 * @typedef {{type: 'join', from: string, join: Join} | {type: 'leave', from: string}
 *   | {type: 'gone', from: string, lock: string} | {type: 'refused'}
 *   | {type: 'event', event: import('./connection.js').LiveEvent}
 *   | {type: 'state', state: StreamState, fault: Fault | null, user: string | null} | {type: 'close'}} HubEvent
 */
/**
 * open, close, follow, start, reconnect: the stream. answer: send a tab the stream's state. watch: notice when a
 * tab's lock is free.
 * @typedef {{type: 'open', settings: import('./protocol.js').Settings} | {type: 'close'} | {type: 'reconnect'}
 *   | {type: 'follow', names: ReadonlySet<string>} | {type: 'start', backoff: boolean | undefined}
 *   | {type: 'post', to: readonly string[], message: HubMessage} | {type: 'answer', to: string}
 *   | {type: 'watch', tab: string, lock: string}} HubEffect
 */
/** @typedef {{hub: HubState, effects: readonly HubEffect[]}} HubStep */
/** @type {HubState} */
export const EMPTY_HUB: HubState;
export type HubMessage = import("./protocol.js").HubMessage;
export type Join = import("./protocol.js").TabMessage & {
    kind: "join";
};
export type StreamState = import("./connection.js").StreamState;
export type Fault = import("./connection.js").Fault;
/**
 * names: the requested values. lock: the Web Lock that it holds.
 */
export type Member = {
    names: readonly string[];
    lock: string | null;
};
export type HubState = {
    /**
     * The tabs that joined.
     */
    members: ReadonlyMap<string, Member>;
    /**
     * The person of the tabs.
     */
    userId: string | null;
    /**
     * The same person as the server names them, once it has.
     */
    user: string | null;
    /**
     * The position from which the stream is joined again.
     */
    cursor: string | null;
    /**
     * The last tab that requested a value which no other tab had requested.
     */
    newest: string;
    /**
     * What the stream has sent since the last join.
     */
    came: "nothing" | "something" | "position";
    /**
     * Whether there is a stream.
     */
    open: boolean;
    /**
     * Of the stream.
     */
    state: StreamState;
    fault: Fault | null;
};
/**
 * join, leave: a tab's. gone: a lock is free, because its tab has ended. refused: the server refuses a requested value.
 * event, state: the stream's. close: this hub ends, and another one may follow.
 */
export type HubEvent = {
    type: "join";
    from: string;
    join: Join;
} | {
    type: "leave";
    from: string;
} | {
    type: "gone";
    from: string;
    lock: string;
} | {
    type: "refused";
} | {
    type: "event";
    event: import("./connection.js").LiveEvent;
} | {
    type: "state";
    state: StreamState;
    fault: Fault | null;
    user: string | null;
} | {
    type: "close";
};
/**
 * open, close, follow, start, reconnect: the stream. answer: send a tab the stream's state. watch: notice when a
 * tab's lock is free.
 */
export type HubEffect = {
    type: "open";
    settings: import("./protocol.js").Settings;
} | {
    type: "close";
} | {
    type: "reconnect";
} | {
    type: "follow";
    names: ReadonlySet<string>;
} | {
    type: "start";
    backoff: boolean | undefined;
} | {
    type: "post";
    to: readonly string[];
    message: HubMessage;
} | {
    type: "answer";
    to: string;
} | {
    type: "watch";
    tab: string;
    lock: string;
};
export type HubStep = {
    hub: HubState;
    effects: readonly HubEffect[];
};
