/**
 * What went wrong, as RFC 9457 says it and this gateway extends it. `readProblem` never throws: an answer that is not a
 * problem document becomes one that says only what is known.
 */

/** @typedef {{service: string, team?: string, contact?: string, docs?: string}} Owner  Who to talk to. */

/**
 * @typedef {object} Problem
 * @property {number} status  HTTP status; 0 when no answer came.
 * @property {string} code    Stable name of the problem; "network" when no answer came.
 * @property {string} title
 * @property {string} detail
 * @property {string | null} correlationId
 * @property {number | null} retryAfter  Seconds.
 * @property {Owner | null} owner  The upstream that failed, when one did.
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
 * @param {number} [now]  Milliseconds since 1970.
 * @returns {number | null}
 */
export function retryAfterSeconds(header, now = Date.now()) {
  if (header === null || header.trim() === '') return null;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return seconds >= 0 ? seconds : null;
  const date = Date.parse(header);
  return Number.isNaN(date) ? null : Math.max(0, (date - now) / 1000);
}

/**
 * @param {unknown} value
 * @param {string} otherwise
 */
function text(value, otherwise) {
  return typeof value === 'string' && value !== '' ? value : otherwise;
}

/**
 * @param {Response} response  An unsuccessful answer whose body is unread.
 * @returns {Promise<Problem>}
 */
export async function readProblem(response) {
  /** @type {Record<string, any>} a JSON object of unknown shape, read defensively below */
  let body = {};
  try {
    const parsed = await response.json();
    if (parsed !== null && typeof parsed === 'object') body = parsed;
  } catch {
    // Not JSON (a proxy's page, say): the status line is all there is.
  }
  return {
    status: response.status,
    code: text(body.code, `http-${response.status}`),
    title: text(body.title, response.statusText || `HTTP ${response.status}`),
    detail: text(body.detail, ''),
    correlationId: text(body.correlation_id, response.headers.get('x-correlation-id') ?? '') || null,
    // The header is whole seconds; the body may say it more precisely.
    retryAfter:
      typeof body.retry_after === 'number'
        ? body.retry_after
        : retryAfterSeconds(response.headers.get('retry-after')),
    owner: body.owner && typeof body.owner === 'object' ? body.owner : null,
    errors: Array.isArray(body.errors) ? body.errors : [],
  };
}

/**
 * @param {unknown} error  What fetch threw.
 * @returns {Problem}
 */
export function networkProblem(error) {
  const timedOut = error instanceof Error && error.name === 'TimeoutError';
  return {
    status: 0,
    code: timedOut ? 'timeout' : 'network',
    title: timedOut ? 'No answer in time' : 'No connection',
    detail: timedOut ? 'The shop did not answer in time.' : 'The shop could not be reached.',
    correlationId: null,
    retryAfter: null,
    owner: null,
    errors: [],
  };
}
