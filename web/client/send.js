/**
 * One command on its way to the gateway: an attempt, and what its answer proves. It refuses to guess: only an answer that
 * shows the command was not carried out counts as refused; silence, 5xx and "still in flight" are unknown.
 */
import { networkProblem, readProblem } from './problem.js';

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
export function classify(problem, first) {
  const { status } = problem;
  const inFlight = status === 409 && problem.retryAfter !== null;
  if (status < 400 || status >= 500 || inFlight || status === 408 || status === 425) {
    return { kind: 'unknown', problem, again: true };
  }
  // Answers about the caller, not about the command: after an attempt that may have arrived they prove nothing.
  if (!first && [401, 403, 429].includes(status)) return { kind: 'unknown', problem, again: status === 429 };
  return { kind: 'rejected', problem };
}

/**
 * @param {object} attempt
 * @param {string} attempt.key      The mutation's id.
 * @param {RequestData | RequestFunction} attempt.request
 * @param {boolean} attempt.first
 * @param {number} attempt.timeout  Seconds.
 * @param {typeof fetch} attempt.fetch
 * @returns {Promise<Answer>} Never rejects.
 */
export async function attemptOnce({ key, request, first, timeout, fetch }) {
  /** @type {Record<string, string>} */
  const headers = {
    'Content-Type': 'application/json',
    'Idempotency-Key': `"${key}"`, // a structured-field string
    'X-BFF': '1',
  };
  try {
    const signal = AbortSignal.timeout(timeout * 1000);
    const response =
      typeof request === 'function'
        ? await request({ key, headers, signal })
        : await fetch(request.url, {
            method: request.method ?? 'POST',
            headers,
            body: JSON.stringify(request.body ?? {}),
            signal,
          });
    if (!response.ok) return classify(await readProblem(response), first);
    const text = await response.text(); // a body cut short throws here, and the outcome is unknown
    const body = text === '' ? null : JSON.parse(text);
    const saga =
      typeof body?.saga?.id === 'string' ? { ...body.saga, version: Number(body.saga.version) } : null;
    return { kind: 'accepted', saga, cursor: body?.cursor ?? null, body };
  } catch (error) {
    const problem =
      /** @type {any} a ProblemError of the caller's own request */ (error)?.problem ?? networkProblem(error);
    return { kind: 'unknown', problem, again: true };
  }
}
