/**
 * @param {object} attempt
 * @param {string} attempt.key      The mutation's id.
 * @param {RequestData} attempt.request
 * @param {boolean} attempt.first
 * @param {number} attempt.timeout  Seconds.
 * @param {typeof fetch | undefined} [attempt.fetch]
 * @returns {Promise<Answer>} Never rejects.
 */
export function attemptOnce({ key, request, first, timeout, fetch }: {
    key: string;
    request: RequestData;
    first: boolean;
    timeout: number;
    fetch?: typeof globalThis.fetch | undefined;
}): Promise<Answer>;
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
export type SagaRef = {
    id: string;
    type: string;
    status: string;
    version: number;
};
/**
 * again: nobody can tell, another attempt may. unknown: no more attempts will tell.
 */
export type Answer = {
    kind: "accepted";
    saga: SagaRef | null;
    cursor: string | null;
} | {
    kind: "rejected" | "again" | "unknown";
    problem: Problem;
};
