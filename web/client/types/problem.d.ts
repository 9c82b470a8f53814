/**
 * Seconds from a Retry-After header (RFC 9110, 10.2.3), which is seconds or a date.
 * @param {string | null} header
 * @returns {number | null}
 */
export function retryAfterSeconds(header: string | null): number | null;
/**
 * @param {Response} response  An unsuccessful answer whose body is unread.
 * @returns {Promise<Problem>}
 */
export function readProblem(response: Response): Promise<Problem>;
/**
 * A failure, as RFC 9457 and this gateway's extensions describe it. `readProblem` never throws: an answer that is not
 * a problem document becomes one with only what is known.
 */
/** @typedef {{service: string, team?: string, contact?: string, docs?: string}} Owner  The team to contact. */
/**
 * The codes that a gateway uses itself; a test compares them with its own list. docs/contract.md has what they mean.
 * @typedef {'body-too-large' | 'circuit-open' | 'csrf' | 'dpop-nonce' | 'failed' | 'forbidden' | 'head-too-large'
 *   | 'idempotency-answer-gone' | 'idempotency-in-flight' | 'idempotency-key-invalid'
 *   | 'idempotency-key-missing' | 'idempotency-mismatch' | 'idempotency-unknown' | 'internal' | 'invalid'
 *   | 'invalid-frontend' | 'invalid-proof' | 'invalid-request' | 'invalid-signature' | 'invalid-token'
 *   | 'method-not-allowed' | 'misdirected' | 'not-found' | 'overloaded' | 'rate-limited' | 'refused'
 *   | 'sign-in-failed' | 'step-up-required' | 'timeout' | 'too-slow' | 'unauthenticated' | 'unavailable'
 *   | 'unreachable' | 'unsupported-media-type'} GatewayCode
 */
/**
 * network, timeout: no answer came. client-error: a mistake in the page. http-…: an answer that is no problem, by its status.
 * Any other text is a code of a team's own.
 * @typedef {GatewayCode | 'network' | 'timeout' | 'client-error' | `http-${number}` | (string & {})} ProblemCode
 */
/**
 * @typedef {object} Problem
 * @property {number} status  HTTP status; 0 when no answer came.
 * @property {ProblemCode} code  Stable name of the problem; "network" when no answer came.
 * @property {string} title
 * @property {string} detail
 * @property {string | null} correlationId
 * @property {number | null} retryAfter  Seconds.
 * @property {Owner | null} owner  The upstream that failed, when one did.
 * @property {string | null} login  Where the person signs in again, for the code "step-up-required": a path of this site.
 * @property {{pointer?: string, detail?: string, code?: string}[]} errors
 */
export class ProblemError extends Error {
    /** @param {Problem} problem */
    constructor(problem: Problem);
    problem: Problem;
}
export function isNetworkError(error: unknown): boolean;
export function networkProblem(error: unknown): Problem;
export function clientProblem(error: unknown): Problem;
/**
 * The team to contact.
 */
export type Owner = {
    service: string;
    team?: string;
    contact?: string;
    docs?: string;
};
/**
 * The codes that a gateway uses itself; a test compares them with its own list. docs/contract.md has what they mean.
 */
export type GatewayCode = "body-too-large" | "circuit-open" | "csrf" | "dpop-nonce" | "failed" | "forbidden" | "head-too-large" | "idempotency-answer-gone" | "idempotency-in-flight" | "idempotency-key-invalid" | "idempotency-key-missing" | "idempotency-mismatch" | "idempotency-unknown" | "internal" | "invalid" | "invalid-frontend" | "invalid-proof" | "invalid-request" | "invalid-signature" | "invalid-token" | "method-not-allowed" | "misdirected" | "not-found" | "overloaded" | "rate-limited" | "refused" | "sign-in-failed" | "step-up-required" | "timeout" | "too-slow" | "unauthenticated" | "unavailable" | "unreachable" | "unsupported-media-type";
/**
 * network, timeout: no answer came. client-error: a mistake in the page. http-…: an answer that is no problem, by its status.
 * Any other text is a code of a team's own.
 */
export type ProblemCode = GatewayCode | "network" | "timeout" | "client-error" | `http-${number}` | (string & {});
export type Problem = {
    /**
     * HTTP status; 0 when no answer came.
     */
    status: number;
    /**
     * Stable name of the problem; "network" when no answer came.
     */
    code: ProblemCode;
    title: string;
    detail: string;
    correlationId: string | null;
    /**
     * Seconds.
     */
    retryAfter: number | null;
    /**
     * The upstream that failed, when one did.
     */
    owner: Owner | null;
    /**
     * Where the person signs in again, for the code "step-up-required": a path of this site.
     */
    login: string | null;
    errors: {
        pointer?: string;
        detail?: string;
        code?: string;
    }[];
};
