/** @typedef {import('./store.js').Saga} Saga */
/** @typedef {import('./store.js').State} State */
/** @typedef {import('./problem.js').Problem} Problem */
/**
 * sending: sent, no answer yet. unknown: no answer came, it is sent again. accepted: the server has it. confirmed:
 * completed. compensated: undone after a refusal, see `reason`. rejected: refused, nothing was done.
 * @typedef {'sending' | 'unknown' | 'accepted' | 'confirmed' | 'compensated' | 'rejected'} Phase
 */
/**
 * @typedef {object} Progress
 * @property {Phase} phase
 * @property {string | null} sagaId
 * @property {string | null} reason  The saga's reason, or the problem's code.
 * @property {Problem | null} problem
 * @property {boolean} gaveUp  Unknown, and no longer sent automatically; `retry()` sends it again.
 */
/** @typedef {{kind: 'accepted' | 'rejected' | 'unknown', sagaId: string | null, problem: Problem | null}} Acceptance */
/** @typedef {{kind: 'confirmed' | 'compensated' | 'rejected' | 'unknown', sagaId: string | null, reason: string | null, problem: Problem | null}} Outcome */
/**
 * What `mutate` returns to its caller.
 * @typedef {object} Operation
 * @property {string} id  Also its Idempotency-Key and the `mutation` that events echo.
 * @property {import('./observable.js').Readable<Progress>} progress
 * @property {Promise<Acceptance>} accepted  Settles when the server is known to have it, or has refused it, or the attempts have ended.
 * @property {Promise<Outcome>} outcome      Settles when nothing more will happen.
 * @property {() => void} retry    Send again now, with the same key.
 * @property {() => void} dismiss  Stop showing it. It is not cancelled: the server may have it.
 */
/**
 * @typedef {object} Definition
 * @property {(draft: import('./view.js').Draft, input: any) => void} apply
 * @property {import('./send.js').RequestData} request
 * @property {any} [input]  Passed to `apply` and `until`.
 * @property {((state: State, input: any) => boolean) | undefined} [until]  Keep the row until this is true for the server's state, for a mutation
 *   whose effect comes only with a later event than the one its answer names.
 */
/**
 * @param {Definition} definition
 * @param {string} id
 * @param {string} at  RFC 3339.
 * @param {'sending' | 'unknown'} phase  unknown: resumed after a reload.
 * @param {(record: any) => void} onEnd  Called once, when nothing more will happen to it.
 */
export function createRecord(definition: Definition, id: string, at: string, phase: "sending" | "unknown", onEnd: (record: any) => void): {
    id: string;
    at: string;
    /** Whether the base has its row, or no row must be shown any more. */
    shown: boolean;
    /** @type {Map<string, number>} */
    expected: Map<string, number>;
    /** The version of its saga in the answer. */
    answered: number;
    /** @type {import('./cursor.js').Cursor | null} */
    cursor: import("./cursor.js").Cursor | null;
    /** Whether an event with its id was received, even if later events of that saga have another id. */
    echoed: boolean;
    over: boolean;
    /** Ends the wait between two attempts. */
    ring: () => void;
    progress: import("./observable.js").Readable<Progress> & {
        set(value: Progress): void;
    };
    /** Progress not announced yet: listeners must not receive it before the matching view. */
    next: Progress;
    /** @type {Promise<Acceptance>} */
    accepted: Promise<Acceptance>;
    /** @type {Promise<Outcome>} */
    outcome: Promise<Outcome>;
    /** @param {Partial<Progress>} change */
    move(change: Partial<Progress>): void;
    /**
     * The server is known to have it: what happens to the request no longer matters.
     * @param {string | undefined} [id]
     */
    take(id?: string | undefined): void;
    /**
     * Settle the promises, and end the operation, unless only the attempts end: then the journal may still settle it.
     * @param {Outcome['kind']} kind
     * @param {string | null} reason
     * @param {Problem | null} [problem]
     * @param {boolean} [gaveUp]
     */
    finish(kind: Outcome["kind"], reason: string | null, problem?: Problem | null, gaveUp?: boolean): void;
    apply: (draft: import("./view.js").Draft, input: any) => void;
    request: import("./send.js").RequestData;
    /**
     * Passed to `apply` and `until`.
     */
    input?: any;
    /**
     * Keep the row until this is true for the server's state, for a mutation
     * whose effect comes only with a later event than the one its answer names.
     */
    until?: ((state: State, input: any) => boolean) | undefined;
};
/**
 * Apply what the server's state says about an operation that has not ended.
 * @param {OperationRecord} record
 * @param {State} base
 * @param {import('./cursor.js').Cursor | null} position
 * @param {boolean} replaced  The state was just replaced by a snapshot or reset.
 */
export function settle(record: OperationRecord, base: State, position: import("./cursor.js").Cursor | null, replaced: boolean): void;
export function isOpen({ over, next }: OperationRecord): boolean;
export type Saga = import("./store.js").Saga;
export type State = import("./store.js").State;
export type Problem = import("./problem.js").Problem;
/**
 * sending: sent, no answer yet. unknown: no answer came, it is sent again. accepted: the server has it. confirmed:
 * completed. compensated: undone after a refusal, see `reason`. rejected: refused, nothing was done.
 */
export type Phase = "sending" | "unknown" | "accepted" | "confirmed" | "compensated" | "rejected";
export type Progress = {
    phase: Phase;
    sagaId: string | null;
    /**
     * The saga's reason, or the problem's code.
     */
    reason: string | null;
    problem: Problem | null;
    /**
     * Unknown, and no longer sent automatically; `retry()` sends it again.
     */
    gaveUp: boolean;
};
export type Acceptance = {
    kind: "accepted" | "rejected" | "unknown";
    sagaId: string | null;
    problem: Problem | null;
};
export type Outcome = {
    kind: "confirmed" | "compensated" | "rejected" | "unknown";
    sagaId: string | null;
    reason: string | null;
    problem: Problem | null;
};
/**
 * What `mutate` returns to its caller.
 */
export type Operation = {
    /**
     * Also its Idempotency-Key and the `mutation` that events echo.
     */
    id: string;
    progress: import("./observable.js").Readable<Progress>;
    /**
     * Settles when the server is known to have it, or has refused it, or the attempts have ended.
     */
    accepted: Promise<Acceptance>;
    /**
     * Settles when nothing more will happen.
     */
    outcome: Promise<Outcome>;
    /**
     * Send again now, with the same key.
     */
    retry: () => void;
    /**
     * Stop showing it. It is not cancelled: the server may have it.
     */
    dismiss: () => void;
};
export type Definition = {
    apply: (draft: import("./view.js").Draft, input: any) => void;
    request: import("./send.js").RequestData;
    /**
     * Passed to `apply` and `until`.
     */
    input?: any;
    /**
     * Keep the row until this is true for the server's state, for a mutation
     * whose effect comes only with a later event than the one its answer names.
     */
    until?: ((state: State, input: any) => boolean) | undefined;
};
export type OperationRecord = ReturnType<typeof createRecord>;
