export function createStore(): {
    /**
     * @param {import('./stream.js').LiveEvent} event
     * @returns {Verdict}
     */
    apply(event: import("./stream.js").LiveEvent): Verdict;
    observe: (raw: any) => Verdict;
    /** @returns {State} Live maps: read them, do not keep them. */
    state: () => State;
    position: () => import("./cursor.js").Cursor | null;
    /** All of it as a snapshot tells it. */
    snapshot: () => {
        cursor: string | null;
        sagas: Saga[];
        values: Value[];
    };
    /** The position as the stream's Last-Event-ID, null before the first snapshot. */
    cursor: () => string | null;
    /** Forget the position, not the state: the next join starts with a snapshot. */
    forget(): void;
    /** Forget everything: somebody else is here now. */
    clear(): void;
};
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
export type SagaStatus = "PENDING" | "RUNNING" | "COMPENSATING" | "COMPLETED" | "COMPENSATED" | "REJECTED" | "NEEDS_ATTENTION";
export type Saga = {
    id: string;
    type: string;
    status: SagaStatus;
    step: string | null;
    attempt: number;
    /**
     * -1 for one that only this browser knows yet.
     */
    version: number;
    reason: string | null;
    /**
     * The Idempotency-Key of the command that started it.
     */
    mutation: string | null;
    /**
     * RFC 3339.
     */
    at: string;
    /**
     * The domain's own part.
     */
    data: any;
    /**
     * Present while this row is this browser's word, not the server's.
     */
    pending?: "unknown" | "sending" | "accepted" | undefined;
};
export type Value = {
    name: string;
    version: number;
    data: any;
    at: string;
};
export type State = {
    sagas: ReadonlyMap<string, Saga>;
    values: ReadonlyMap<string, Value>;
};
/**
 * applied: state or position advanced. repeated: known already. gap: something is missing, join again after `cursor()`.
 * ignored: not a state event.
 */
export type Verdict = "applied" | "repeated" | "gap" | "ignored";
export type Store = ReturnType<typeof createStore>;
