/** Screens as the gateway composes them: data, or the problem it had. */
import { ProblemError, networkProblem, readProblem } from '/client/index.js';
import { note } from './timings.js';

const PATIENCE = 10_000; // milliseconds; the gateway's own deadline is far below

/**
 * @param {string} path
 * @param {RequestInit} [init]
 * @returns {Promise<any>} the JSON; rejects with a ProblemError
 */
export async function fetchJson(path, init = {}) {
  let response;
  const began = performance.now();
  try {
    response = await fetch(path, {
      credentials: 'same-origin',
      ...init,
      headers: { Accept: 'application/json', 'X-BFF': '1', ...init.headers },
      signal: AbortSignal.timeout(PATIENCE),
    });
    if (path.startsWith('/api/screens/')) note(path, began, response);
    if (response.ok) return await response.json();
  } catch (error) {
    throw new ProblemError(networkProblem(error));
  }
  throw new ProblemError(await readProblem(response));
}

/** @typedef {import('./gateway.js').paths} Paths */
/** @typedef {keyof Paths & `/api/screens/${string}`} Screens */

/**
 * @template {Screens} P
 * @param {P} path  As the gateway declares it.
 * @param {Record<string, string>} [named]  What stands for its parameters.
 * @returns {Promise<NonNullable<Paths[P]['get']>['responses'][200]['content']['application/json']>}
 */
export const screen = (path, named = {}) =>
  fetchJson(path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(named[name] ?? '')));
