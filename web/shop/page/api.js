/**
 * Screens as the gateway composes them, their data or their problem, and requests for its commands, both typed by its
 * description.
 */
import { ProblemError, networkProblem, readProblem } from '/client/index.js';
import { monitor } from './monitor.js';
import { note, noteMissing, noteProblem } from './diagnostics.js';

const PATIENCE = 10_000; // milliseconds; the gateway's own deadline is far below

/**
 * @param {string} path
 * @param {RequestInit} [init]
 * @returns {Promise<any>} the JSON; rejects with a ProblemError
 */
export async function fetchJson(path, init = {}) {
  let response;
  const began = performance.now();
  const isScreen = path.startsWith('/api/screens/');
  const traceparent = isScreen && monitor.traceparent();
  try {
    response = await fetch(path, {
      credentials: 'same-origin',
      ...init,
      headers: {
        Accept: 'application/json',
        'X-BFF': '1',
        ...(traceparent && { traceparent }),
        ...init.headers,
      },
      signal: AbortSignal.any([AbortSignal.timeout(PATIENCE), ...(init.signal ? [init.signal] : [])]),
    });
    if (isScreen) note(path, began, response);
    if (response.ok) {
      const data = await response.json();
      noteMissing(path, data);
      return data;
    }
  } catch (error) {
    throw new ProblemError(networkProblem(error));
  }
  const problem = await readProblem(response);
  noteProblem(problem);
  throw new ProblemError(problem);
}

/** @param {string} path  As the gateway declares it. @param {Record<string, string>} named  The values of its parameters. */
export const address = (path, named) =>
  path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(named[name] ?? ''));

/**
 * @template {import('./shapes.js').ScreenPath} P
 * @param {P} path
 * @param {import('./shapes.js').ScreenNamed<P>} named
 * @param {AbortSignal} [signal]
 * @returns {Promise<import('./shapes.js').Screen<P>>} Rejects with a ProblemError.
 */
export const screen = (path, named, signal) => fetchJson(address(path, named), signal && { signal });

/**
 * @template {import('./shapes.js').CommandPath} P
 * @param {P} path
 * @param {import('./shapes.js').CommandNamed<P>} named
 * @param {import('./shapes.js').Body<P>} body
 * @returns {import('./shapes.js').Asked<import('./shapes.js').Answer<P>>}
 */
export const command = (path, named, body) => ({ url: address(path, named), body });

/** The problem of a refused screen. Any other exception is a bug of ours and is thrown again. @param {unknown} error */
export function problemOf(error) {
  if (error instanceof ProblemError) return error.problem;
  throw error;
}
