/** @param {ReadonlyMap<string, Saga>} sagas @param {string} mutation @returns {Saga | undefined} The newest saga that this mutation started. */
export function findByMutation(sagas: ReadonlyMap<string, Saga>, mutation: string): Saga | undefined;
/** @param {ReadonlyMap<string, Saga>} sagas @param {string} id @returns {Saga | undefined} The newest saga that contains this mutation. */
export function findContaining(sagas: ReadonlyMap<string, Saga>, id: string): Saga | undefined;
/**
 * @param {object} [options]
 * @param {(name: string) => boolean} [options.isFollowed]  Whether the page subscribes to this value; default: to none.
 */
export function createStore({ isFollowed }?: {
    isFollowed?: ((name: string) => boolean) | undefined;
}): {
    /**
     * @param {import('./connection.js').LiveEvent} event
     * @returns {Verdict}
     */
    apply({ type, data, id }: import("./connection.js").LiveEvent): Verdict;
    /** A value from elsewhere, for example from a screen. @param {any} value */
    learn: (value: any) => Verdict;
    /** @type {State} The maps are live: read them, do not store them. */
    state: State;
    /** The position as the stream's Last-Event-ID, null before the first snapshot. */
    cursor: () => string | null;
    /** Drop the position, not the state: the next join starts with a snapshot. */
    forget(): void;
    /** Drop everything: another person is signed in now. */
    clear(): void;
};
/** Most values that are subscribed to at a time. */
export const MOST_VALUES: 50;
export namespace OUTCOMES {
    let COMPLETED: "confirmed";
    let COMPENSATED: "compensated";
    let REJECTED: "rejected";
}
export function ended({ status }: {
    status: string;
}): boolean;
export namespace BLANK {
    let type: string;
    let step: null;
    let attempt: number;
    let reason: null;
    let mutation: null;
    let at: string;
    let data: null;
}
export function contains({ mutation, mutations }: Saga, id: string): boolean;
export type SagaStatus = "PENDING" | "RUNNING" | "COMPENSATING" | "COMPLETED" | "COMPENSATED" | "REJECTED" | "NEEDS_ATTENTION";
export type Saga = {
    id: string;
    type: string;
    status: SagaStatus;
    step: string | null;
    attempt: number;
    /**
     * -1 for a saga that only this browser has so far.
     */
    version: number;
    reason: string | null;
    /**
     * The Idempotency-Key of the command that started it.
     */
    mutation: string | null;
    /**
     * The Idempotency-Keys of further commands that this status contains.
     */
    mutations?: string[] | undefined;
    /**
     * RFC 3339.
     */
    at: string;
    /**
     * The domain's own part.
     */
    data: any;
    /**
     * Present while this row comes from this browser, not from the server.
     */
    pending?: "unknown" | "sending" | "accepted" | undefined;
};
export type Value = {
    name: string;
    version: number;
    data: any;
    /**
     * RFC 3339.
     */
    at: string;
    /**
     * The newest commands that this version contains, by Idempotency-Key; absent where its
     * service names none.
     */
    mutations?: string[] | undefined;
};
export type State = {
    sagas: ReadonlyMap<string, Saga>;
    values: ReadonlyMap<string, Value>;
};
/**
 * replaced: by a snapshot or reset. applied: state or position advanced. repeated: known already. gap: an event is
 * missing, join again after `cursor()`. ignored: not a state event.
 */
export type Verdict = "replaced" | "applied" | "repeated" | "gap" | "ignored";
export type Store = ReturnType<typeof createStore>;
