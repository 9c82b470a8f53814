/** @typedef {import('./problem.js').Problem} Problem */
/**
 * @typedef {object} RequestData
 * @property {string} url
 * @property {unknown} [body]  Sent as JSON.
 * @property {string} [method]  Default POST.
 */
/**
 * @callback RequestFunction
 * @param {{key: string, headers: Record<string, string>, signal: AbortSignal}} attempt  Send exactly these headers.
 * @returns {Promise<Response>}
 */
/** @typedef {{id: string, type: string, status: string, version: number}} SagaRef */
/**
 * @typedef {{kind: 'accepted', saga: SagaRef | null, cursor: string | null, body: any}
 *   | {kind: 'rejected', problem: Problem}
 *   | {kind: 'unknown', problem: Problem, again: boolean}} Answer  `again`: another attempt may tell.
 */
/**
 * @param {Problem} problem
 * @param {boolean} first  Whether no earlier attempt can have reached the server.
 * @returns {Answer}
 */
export function classify(problem: Problem, first: boolean): Answer;
/**
 * @param {object} attempt
 * @param {string} attempt.key      The mutation's id.
 * @param {RequestData | RequestFunction} attempt.request
 * @param {boolean} attempt.first
 * @param {number} attempt.timeout  Seconds.
 * @param {typeof fetch} attempt.fetch
 * @returns {Promise<Answer>} Never rejects.
 */
export function attemptOnce({ key, request, first, timeout, fetch }: {
    key: string;
    request: RequestData | RequestFunction;
    first: boolean;
    timeout: number;
    fetch: typeof globalThis.fetch;
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
export type RequestFunction = (attempt: {
    key: string;
    headers: Record<string, string>;
    signal: AbortSignal;
}) => Promise<Response>;
export type SagaRef = {
    id: string;
    type: string;
    status: string;
    version: number;
};
/**
 * `again`: another attempt may tell.
 */
export type Answer = {
    kind: "accepted";
    saga: SagaRef | null;
    cursor: string | null;
    body: any;
} | {
    kind: "rejected";
    problem: Problem;
} | {
    kind: "unknown";
    problem: Problem;
    again: boolean;
};
