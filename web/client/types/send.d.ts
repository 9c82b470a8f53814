/**
 * @param {object} attempt
 * @param {string} attempt.key      The mutation's id.
 * @param {RequestData & {text: string}} attempt.request  text: its body.
 * @param {boolean} attempt.first
 * @param {number} attempt.timeout  Seconds.
 * @param {Send} attempt.fetch
 * @param {string | undefined} attempt.traceparent  The trace that the command belongs to; none: the gateway begins one.
 * @returns {Promise<Answer>} Never rejects.
 */
export function attemptOnce({ key, request, first, timeout, fetch, traceparent }: {
    key: string;
    request: RequestData & {
        text: string;
    };
    first: boolean;
    timeout: number;
    fetch: Send;
    traceparent: string | undefined;
}): Promise<Answer>;
export function serialize(request: RequestData): {
    text: string;
    url: string;
    /**
     * Sent as JSON.
     */
    body?: unknown;
    /**
     * Default POST.
     */
    method?: string | undefined;
};
export type Problem = import("./problem.js").Problem;
export type RequestData = {
    url: string;
    /**
     * Sent as JSON.
     */
    body?: unknown;
    /**
     * Default POST.
     */
    method?: string | undefined;
};
/**
 * `fetch`, or a replacement for it.
 */
export type Send = (...request: Parameters<typeof fetch>) => Response | Promise<Response>;
export type SagaRef = {
    id: string;
    type: string;
    status: string;
    version: number;
};
/**
 * data: the answer's body. again: the outcome is unknown, another attempt may show it. unknown: no further attempt will show it.
 */
export type Answer = {
    kind: "accepted";
    saga: SagaRef | null;
    cursor: import("./cursor.js").Cursor | null;
    data?: any;
} | {
    kind: "rejected" | "again" | "unknown";
    problem: Problem;
};
