/** Who is signed in, asked so that nobody is an answer: a browser's console shows no failed request for a visitor. */
import { ProblemError, readProblem } from './problem.js';

/** @typedef {{iss: string, sub: string, expires_in: number, [claim: string]: any}} User  expires_in: seconds. */

/**
 * @param {string} [url]  Below a prefix the gateway's own, "/desk/bff/user".
 * @param {RequestInit} [init]
 * @returns {Promise<User | null>} null: nobody. Rejects with a ProblemError, or with what fetch threw.
 */
export async function fetchUser(url = '/bff/user', init) {
  const response = await fetch(`${url}?anonymous=1`, init);
  if (!response.ok) throw new ProblemError(await readProblem(response));
  return response.json();
}
