/**
 * A pending operation: its state, its promises and its timers.
 * @typedef {object} Entry
 * @property {import('./operation.js').OperationState} operation
 * @property {import('./observable.js').Readable<import('./operation.js').Progress> & {set: (progress: import('./operation.js').Progress) => void}} progress
 * @property {Map<import('./operation.js').Timer, ReturnType<typeof setTimeout>>} timers  Cleared when it is dropped.
 * @property {ReturnType<typeof serialize>} request
 * @property {Operation} handle
 * @property {(acceptance: import('./operation.js').Acceptance) => void} accept
 * @property {(outcome: import('./operation.js').Outcome) => void} conclude
 * @property {(outcome: import('./operation.js').Outcome) => void} settle
 */
/** @typedef {{operation: Operation, outcome: import('./operation.js').Outcome}} Settlement */
/** @param {Host} host */
export function createMutations(host: Host): {
    view: () => import("./store.js").State;
    /**
     * Be notified of each operation that is resumed after a reload: at `start`, or when its kind is defined later.
     * @param {(operation: Operation) => void} listener
     * @returns {() => void} Ends the subscription.
     */
    onRestored: (listener: (operation: Operation) => void) => () => void;
    /** The store has changed. @param {boolean} [replaced]  By a snapshot or reset. */
    advanced: (replaced?: boolean) => void;
    wake: () => void;
    /** @param {Definition} definition @returns {Operation} */
    mutate: (definition: Definition) => Operation;
    /**
     * The operation with this id, until it has ended and changes nothing that is shown.
     * @param {string} id
     * @returns {Operation | undefined}
     */
    operation: (id: string) => Operation | undefined;
    /**
     * Be notified of the end of each operation, resumed ones included.
     * @param {(settlement: Settlement) => void} listener
     * @returns {() => void} Ends the subscription.
     */
    onSettled: (listener: (settlement: Settlement) => void) => () => void;
    /**
     * Name a mutation, so that one with an unknown outcome survives a reload.
     * @template I
     * @param {string} name
     * @param {Kind<I>} kind
     * @returns {(input: I) => Operation}
     */
    define<I>(name: string, kind: Kind<I>): (input: I) => Operation;
    /**
     * Send a refused mutation once more, with the same id, after the next reload. The gateway must have refused it before
     * anything was done, as with "step-up-required".
     * @param {Operation} operation
     * @returns {boolean} false for one that was not made by a function of `define`: only such a one survives a reload.
     */
    takeUpLater({ id, name, input }: Operation): boolean;
    /** A person is signed in: resume their mutations from before a reload. @param {string} userId @returns {Operation[]} */
    restore(userId: string): Operation[];
    /** No person is signed in any more. What is stored for a reload stays for the same person. */
    clear(): void;
};
/** @typedef {import('./operation.js').Definition} Definition */
/** @typedef {import('./operation.js').Operation} Operation */
/** @typedef {import('./operation.js').OperationEvent} OperationEvent */
/**
 * A mutation that can be sent again after a reload, because it is made from its input alone.
 * @template I
 * @typedef {object} Kind
 * @property {(input: I) => import('./send.js').RequestData} request
 * @property {(draft: import('./view.js').Draft, input: I) => void} apply
 * @property {(state: import('./store.js').State, input: I) => boolean} [settledWhen]  See `Definition.settledWhen`.
 */
/**
 * @typedef {object} Host
 * @property {import('./store.js').Store} store
 * @property {Iterable<() => void>} listeners  Of the view.
 * @property {() => boolean} isLive  Whether the journal is being followed.
 * @property {import('./send.js').Send} fetch
 * @property {import('./pending.js').KeyValue | null} storage
 * @property {number} [timeout]   Seconds for one attempt; default 15.
 * @property {number} [attempts]  Most attempts; default 8.
 * @property {number} [base]      Seconds; first backoff between attempts, default 0.5, cap 10.
 * @property {number} [linger]    Seconds that an accepted operation waits for an event that does not come; default 60. A
 *   completed or compensated one waits a thirtieth of it for its values.
 * @property {() => string} [newId]
 * @property {() => number} [random]
 * @property {Monitor} [monitor]  Begins the trace of each mutation and measures it; rum.js has one.
 */
/**
 * What begins the trace of a mutation and measures it.
 * @typedef {object} Monitor
 * @property {(id: string) => string | undefined} traceparent  The header of every attempt to send this mutation; none where the
 *   gateway decides about the trace.
 * @property {(operation: Operation, request: import('./send.js').RequestData) => void} begin  A mutation has begun, and the
 *   listeners of the view were notified. It is not called for one that a reload interrupted.
 */
/** Limit of mutations without an outcome. */
export const MOST_PENDING: 50;
export class TooManyPending extends RangeError {
}
/**
 * A pending operation: its state, its promises and its timers.
 */
export type Entry = {
    operation: import("./operation.js").OperationState;
    progress: import("./observable.js").Readable<import("./operation.js").Progress> & {
        set: (progress: import("./operation.js").Progress) => void;
    };
    /**
     * Cleared when it is dropped.
     */
    timers: Map<import("./operation.js").Timer, ReturnType<typeof setTimeout>>;
    request: ReturnType<typeof serialize>;
    handle: Operation;
    accept: (acceptance: import("./operation.js").Acceptance) => void;
    conclude: (outcome: import("./operation.js").Outcome) => void;
    settle: (outcome: import("./operation.js").Outcome) => void;
};
export type Settlement = {
    operation: Operation;
    outcome: import("./operation.js").Outcome;
};
export type Definition = import("./operation.js").Definition;
export type Operation = import("./operation.js").Operation;
export type OperationEvent = import("./operation.js").OperationEvent;
/**
 * A mutation that can be sent again after a reload, because it is made from its input alone.
 */
export type Kind<I> = {
    request: (input: I) => import("./send.js").RequestData;
    apply: (draft: import("./view.js").Draft, input: I) => void;
    /**
     * See `Definition.settledWhen`.
     */
    settledWhen?: ((state: import("./store.js").State, input: I) => boolean) | undefined;
};
export type Host = {
    store: import("./store.js").Store;
    /**
     * Of the view.
     */
    listeners: Iterable<() => void>;
    /**
     * Whether the journal is being followed.
     */
    isLive: () => boolean;
    fetch: import("./send.js").Send;
    storage: import("./pending.js").KeyValue | null;
    /**
     * Seconds for one attempt; default 15.
     */
    timeout?: number | undefined;
    /**
     * Most attempts; default 8.
     */
    attempts?: number | undefined;
    /**
     * Seconds; first backoff between attempts, default 0.5, cap 10.
     */
    base?: number | undefined;
    /**
     * Seconds that an accepted operation waits for an event that does not come; default 60. A
     * completed or compensated one waits a thirtieth of it for its values.
     */
    linger?: number | undefined;
    newId?: (() => string) | undefined;
    random?: (() => number) | undefined;
    /**
     * Begins the trace of each mutation and measures it; rum.js has one.
     */
    monitor?: Monitor | undefined;
};
/**
 * What begins the trace of a mutation and measures it.
 */
export type Monitor = {
    /**
     * The header of every attempt to send this mutation; none where the
     * gateway decides about the trace.
     */
    traceparent: (id: string) => string | undefined;
    /**
     * A mutation has begun, and the
     * listeners of the view were notified. It is not called for one that a reload interrupted.
     */
    begin: (operation: Operation, request: import("./send.js").RequestData) => void;
};
import { serialize } from './send.js';
