/** @param {HubState} hub @param {HubEvent} event @returns {HubStep} */
export function step(hub: HubState, event: HubEvent): HubStep;
/**
 * Who is served by a hub, and from where in the journal, as a value and pure steps over it: `step(hub, event)` answers the
 * hub after the event and what is to be done. Its table is in docs/reference/client-states.md.
 *
 * A hub serves one person at a time, the one who joined last, and tells the others' tabs that they are stopped; a tab that
 * knows itself to be another's than the journal's is stopped, too. It keeps nothing of what it carries but the position.
 */
/** @typedef {import('./protocol.js').HubMessage} HubMessage */
/** @typedef {import('./protocol.js').TabMessage & {kind: 'join'}} Join */
/** @typedef {import('./connection.js').StreamState} StreamState */
/** @typedef {import('./connection.js').Fault} Fault */
/** @typedef {{names: readonly string[], lock: string | null}} Member  names: the values that it asks for. lock: that it holds. */
/**
 * @typedef {object} HubState
 * @property {ReadonlyMap<string, Member>} members  The tabs that joined.
 * @property {string | null} userId  Whose tabs they are, as they say.
 * @property {string | null} user  The same person as the server names them, once it has.
 * @property {string | null} cursor  Where the stream goes on when it is joined again.
 * @property {string} newest  The tab that asked last for what nobody else had asked for.
 * @property {'nothing' | 'something' | 'position'} came  What the stream has said since it was last joined for somebody.
 * @property {boolean} open  Whether there is a stream.
 * @property {StreamState} state  Of the stream.
 * @property {Fault | null} fault
 */
/**
 * join, leave: a tab's. gone: a lock is free, so that the tab that held it is no more. refused: the server refuses a value that is asked for.
 * event, state: the stream's. close: the hub is not the hub any more.
 * @typedef {{type: 'join', from: string, join: Join} | {type: 'leave', from: string}
 *   | {type: 'gone', from: string, lock: string} | {type: 'refused'}
 *   | {type: 'event', event: import('./connection.js').LiveEvent}
 *   | {type: 'state', state: StreamState, fault: Fault | null, user: string | null} | {type: 'close'}} HubEvent
 */
/**
 * open, close, follow, start, reconnect: the stream. answer: tell a tab the stream's state, as it is by then. watch: find out
 * when a tab's lock is free.
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
 * names: the values that it asks for. lock: that it holds.
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
     * Whose tabs they are, as they say.
     */
    userId: string | null;
    /**
     * The same person as the server names them, once it has.
     */
    user: string | null;
    /**
     * Where the stream goes on when it is joined again.
     */
    cursor: string | null;
    /**
     * The tab that asked last for what nobody else had asked for.
     */
    newest: string;
    /**
     * What the stream has said since it was last joined for somebody.
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
 * join, leave: a tab's. gone: a lock is free, so that the tab that held it is no more. refused: the server refuses a value that is asked for.
 * event, state: the stream's. close: the hub is not the hub any more.
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
 * open, close, follow, start, reconnect: the stream. answer: tell a tab the stream's state, as it is by then. watch: find out
 * when a tab's lock is free.
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
