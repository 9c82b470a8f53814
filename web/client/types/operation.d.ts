/** @param {OperationState} operation @param {OperationEvent} event @returns {Step} */
export function step(operation: OperationState, event: OperationEvent): Step;
export function createOperation(definition: Definition, id: string, at: string, restored: boolean): OperationState;
export function isUnanswered({ status }: OperationState): boolean;
export function isPending({ status, awaited }: OperationState): boolean;
export function progressOf({ status, sagaId, reason, problem, echoed }: OperationState): Progress;
export type Saga = import("./store.js").Saga;
export type State = import("./store.js").State;
export type Problem = import("./problem.js").Problem;
/**
 * sending: sent, no answer yet. unknown: no answer came, it is sent again. accepted: the server has it. confirmed:
 * completed. compensated: undone after a refusal, see `reason`. rejected: refused, nothing was done.
 */
export type Phase = "sending" | "unknown" | "accepted" | "confirmed" | "compensated" | "rejected";
/**
 * Where an operation is, always exactly one of these. sent: no answer yet. acknowledged: the server has it, and has shown
 * nothing of it yet. running: the journal follows it. settled: it has ended, see `phase`. unknown: whether the server has it
 * is not known now, or it ended without an outcome.
 */
export type OperationPhase = "sent" | "acknowledged" | "running" | "settled" | "unknown";
export type Progress = {
    state: OperationPhase;
    phase: Phase;
    sagaId: string | null;
    /**
     * The saga's reason, or the problem's code.
     */
    reason: string | null;
    problem: Problem | null;
    /**
     * Nothing more happens to it.
     */
    ended: boolean;
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
/**
 * data: of a plain command, what it answered; of a saga that ended, its data; null where there is none.
 */
export type Outcome<A = any> = {
    kind: "confirmed" | "compensated" | "rejected" | "unknown";
    sagaId: string | null;
    reason: string | null;
    problem: Problem | null;
    data: A | null;
};
/**
 * What `mutate` returns to its caller. A: the data of its outcome; I: its input.
 */
export type Operation<A = any, I = any> = {
    /**
     * Also its Idempotency-Key and the `mutation` that events echo.
     */
    id: string;
    /**
     * By which it was defined; null for a one-off.
     */
    name: string | null;
    /**
     * What it was called with.
     */
    input: I;
    progress: import("./observable.js").Readable<Progress>;
    /**
     * Settles when the server is known to have it, or has refused it, or the attempts have ended.
     */
    accepted: Promise<Acceptance>;
    /**
     * Settles when it has ended, or the attempts have ended.
     */
    outcome: Promise<Outcome<A>>;
    /**
     * Settles when it has ended. After the attempts have ended the journal or `retry()` may
     * still end it.
     */
    settled: Promise<Outcome<A>>;
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
     * By which it was defined.
     */
    name?: string | undefined;
    /**
     * Passed to `apply` and `settledWhen`.
     */
    input?: any;
    /**
     * Keep the row until this is true for the server's state, for a
     * mutation whose effect comes only with a later event than the one its answer names. An event that names the mutation ends
     * the row, too. An exception is reported, and counts as true.
     */
    settledWhen?: ((state: State, input: any) => boolean) | undefined;
};
/**
 * sending: the first attempt runs. waiting: a pause before the next attempt. asking: a further attempt runs. gave-up: no
 * further attempt without `retry()`. accepted: the server has it. confirmed, compensated, rejected: its outcome. closed: it
 * ended without an outcome: dismissed, stopped, or no longer in the journal.
 */
export type OperationStatus = "sending" | "waiting" | "asking" | "gave-up" | "accepted" | "confirmed" | "compensated" | "rejected" | "closed";
export type OperationState = {
    definition: Definition;
    id: string;
    /**
     * RFC 3339.
     */
    at: string;
    status: OperationStatus;
    sagaId: string | null;
    reason: string | null;
    problem: Problem | null;
    /**
     * Attempts without a usable answer, since the start or the last `retry()`.
     */
    failures: number;
    /**
     * The version and position that its
     * answer named.
     */
    answer: {
        version: number;
        cursor: import("./cursor.js").Cursor | null;
    } | null;
    /**
     * Whether an event with its id was received, even if later events of that saga have another id.
     */
    echoed: boolean;
    /**
     * Whether the base has its row, or no row must be shown any more.
     */
    rowSettled: boolean;
    /**
     * The values whose base does not contain its effect yet: name → the version at
     * the click.
     */
    awaited: ReadonlyMap<string, number>;
};
/**
 * attempts: the limit of attempts in a row. live:
 *   whether the journal is followed.
 */
export type OperationEvent = {
    type: "answer";
    answer: import("./send.js").Answer;
    attempts: number;
} | {
    type: "stream" | "snapshot";
    state: State;
    position: import("./cursor.js").Cursor | null;
} | {
    type: "timer";
    timer: Timer;
    live: boolean;
    state: State;
} | {
    type: "retry";
} | {
    type: "dismiss";
} | {
    type: "stop";
};
export type Timer = "retry" | "event" | "values";
/**
 * first: no earlier attempt can have reached the server.
 *   accept and conclude settle the promises, each the first time only. final: it has ended; else only the attempts have.
 */
export type Effect = {
    type: "send";
    first: boolean;
} | {
    type: "wait";
    timer: "retry";
    failures: number;
    retryAfter: number | null;
} | {
    type: "wait";
    timer: "event" | "values";
} | {
    type: "accept";
    acceptance: Acceptance;
} | {
    type: "conclude";
    outcome: Outcome;
    final: boolean;
};
export type Step = {
    operation: OperationState;
    effects: readonly Effect[];
};
