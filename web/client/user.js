/**
 * The signed-in person. The request succeeds for an anonymous visitor, too, so that the console shows no failed
 * request.
 */
import { ProblemError, readProblem } from './problem.js';

/** @typedef {{iss: string, sub: string, expires_in: number, [claim: string]: any}} User  expires_in: seconds. */

/**
 * @param {string} [url]  The gateway's address; below a prefix for example "/desk/bff/user".
 * @param {RequestInit} [init]
 * @param {typeof fetch} [send]
 * @returns {Promise<User | null>} null: not signed in. Rejects with a ProblemError, or with the exception of fetch.
 */
export async function fetchUser(url = '/bff/user', init, send = fetch) {
  const response = await send(`${url}?anonymous=1`, init);
  if (!response.ok) throw new ProblemError(await readProblem(response));
  return response.json();
}

/**
 * Sign out at the gateway.
 * @param {string} url  The gateway's address, "/bff/logout" below the prefix.
 * @param {RequestInit} [init]
 * @param {typeof fetch} [send]
 * @returns {Promise<{redirect?: string}>} redirect: the address that the browser must open to be signed out at the
 *   provider, too. Rejects as `fetchUser` does.
 */
export async function logOut(url, init, send = fetch) {
  const response = await send(url, { ...init, method: 'POST', headers: { 'X-BFF': '1' } });
  if (!response.ok) throw new ProblemError(await readProblem(response));
  return response.json();
}
