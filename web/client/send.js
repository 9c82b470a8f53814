/**
 * One attempt to send a command to the gateway, and what its answer proves. Only an answer that shows that the
 * command was not carried out counts as refused; silence, 5xx and "still in flight" are unknown.
 */
import { parseCursor } from './cursor.js';
import { sheltered } from './faults.js';
import { clientProblem, isNetworkError, networkProblem, readProblem } from './problem.js';

/** @typedef {import('./problem.js').Problem} Problem */

/**
 * @typedef {object} RequestData
 * @property {string} url
 * @property {unknown} [body]  Sent as JSON.
 * @property {string} [method]  Default POST.
 */

/** @typedef {(...request: Parameters<typeof fetch>) => Response | Promise<Response>} Send  `fetch`, or a replacement for it. */

/** @typedef {{id: string, type: string, status: string, version: number}} SagaRef */

/**
 * data: the answer's body. again: the outcome is unknown, another attempt may show it. unknown: no further attempt will show it.
 * @typedef {{kind: 'accepted', saga: SagaRef | null, cursor: import('./cursor.js').Cursor | null, data?: any}
 *   | {kind: 'rejected' | 'again' | 'unknown', problem: Problem}} Answer
 */

/** A request with its body as text, for all attempts. Throws what `JSON.stringify` throws. @param {RequestData} request */
export const serialize = (request) => ({ ...request, text: JSON.stringify(request.body ?? {}) });

/**
 * @param {Problem} problem
 * @param {boolean} first  Whether no earlier attempt can have reached the server.
 * @param {boolean} stored  Whether it is the stored answer of an earlier attempt: the command's own outcome.
 */
function classify({ status, code, retryAfter }, first, stored) {
  // The gateway has had the command before, and no longer has its outcome or its answer, or the page sends another
  // request after a reload: the journal may know the outcome.
  if (/^idempotency-(unknown|answer-gone|mismatch)$/.test(code)) return 'unknown';
  const inFlight = status === 409 && retryAfter !== null;
  if (status < 400 || status >= 500 || inFlight || [408, 425].includes(status)) return 'again';
  // Answers about the caller, not about the command: after an attempt that may have arrived they prove nothing.
  if (first || stored || ![401, 403, 429].includes(status)) return 'rejected';
  return status === 429 ? 'again' : 'unknown';
}

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
export async function attemptOnce({ key, request, first, timeout, fetch, traceparent }) {
  const { url, method = 'POST', text: body } = request;
  try {
    const response = await fetch(url, {
      method,
      headers: {
        'Content-Type': 'application/json',
        'Idempotency-Key': `"${key}"`, // a structured-field string
        'X-BFF': '1',
        ...(traceparent && { traceparent }),
      },
      body,
      signal: AbortSignal.timeout(timeout * 1000),
    });
    if (!response.ok) {
      const problem = await readProblem(response);
      const stored = response.headers.get('idempotency-replayed') === 'true';
      return { kind: classify(problem, first, stored), problem };
    }
    const text = await response.text(); // a body cut short throws here, and the outcome is unknown
    const data = text ? JSON.parse(text) : null;
    const { saga = null, cursor = null } = Object(data);
    return { kind: 'accepted', saga, cursor: parseCursor(cursor), data };
  } catch (error) {
    if (isNetworkError(error)) return { kind: 'again', problem: networkProblem(error) };
    sheltered(() => {
      throw error;
    });
    return { kind: 'unknown', problem: clientProblem(error) };
  }
}
