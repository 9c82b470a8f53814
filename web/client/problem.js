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
  constructor(problem) {
    super(problem.detail || problem.title);
    this.name = 'ProblemError';
    this.problem = problem;
  }
}

/**
 * Seconds from a Retry-After header (RFC 9110, 10.2.3), which is seconds or a date.
 * @param {string | null} header
 * @returns {number | null}
 */
export function retryAfterSeconds(header) {
  const wait = Number(header) || (Date.parse(`${header}`) - Date.now()) / 1000;
  return isNaN(wait) ? null : Math.max(0, wait);
}

/** @param {Partial<Problem> | false} known @returns {Problem} */
const problem = (known) => ({
  status: 0,
  code: 'network',
  title: 'No connection',
  detail: '',
  correlationId: null,
  retryAfter: null,
  owner: null,
  login: null,
  errors: [],
  ...known,
});

/**
 * @param {Response} response  An unsuccessful answer whose body is unread.
 * @returns {Promise<Problem>}
 */
export async function readProblem(response) {
  const { status, headers } = response;
  /** @type {Record<string, any>} a JSON object of unknown shape, read defensively; a proxy's page is none */
  const body = Object(await response.json().catch(() => null));
  return problem({
    status,
    code: `${body.code ?? `http-${status}`}`,
    title: `${body.title ?? `HTTP ${status}`}`,
    detail: `${body.detail ?? ''}`,
    correlationId: body.correlation_id ?? null,
    // The header has whole seconds; the body may be more precise.
    retryAfter: Number.isFinite(body.retry_after)
      ? Math.max(0, body.retry_after)
      : retryAfterSeconds(headers.get('retry-after')),
    owner: body.owner ?? null,
    // Never another site's address, which a browser also reads from "//" and "/\\".
    login: /^\/(?![/\\])/.test(body.login) ? body.login : null,
    errors: Array.isArray(body.errors) ? body.errors : [],
  });
}

/**
 * Whether an exception of `fetch`, or of reading its answer, is a failure of the network. `fetch` throws a TypeError for it
 * (WHATWG Fetch, "network error"), so a TypeError that is a mistake in the page counts as one, too. A SyntaxError is a body
 * that was cut short.
 * @param {unknown} error
 */
export const isNetworkError = (error) =>
  error instanceof TypeError ||
  error instanceof SyntaxError ||
  ['TimeoutError', 'AbortError', 'NetworkError'].includes(Object(error).name);

/**
 * @param {unknown} error  The exception of fetch.
 * @returns {Problem}
 */
export const networkProblem = (error) =>
  problem(Object(error).name === 'TimeoutError' && { code: 'timeout', title: 'No answer in time' });

/** @param {unknown} error  A programming error in the page: it is unknown whether the request was sent. @returns {Problem} */
export const clientProblem = (error) =>
  problem({ code: 'client-error', title: 'This page has a mistake', detail: `${error}` });
