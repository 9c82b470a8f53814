/** @typedef {{iss: string, sub: string, expires_in: number, [claim: string]: any}} User  expires_in: seconds. */
/**
 * @param {string} [url]  The gateway's address; below a prefix for example "/desk/bff/user".
 * @param {RequestInit} [init]
 * @param {typeof fetch} [send]
 * @returns {Promise<User | null>} null: nobody. Rejects with a ProblemError, or with what fetch threw.
 */
export function fetchUser(url?: string, init?: RequestInit, send?: typeof fetch): Promise<User | null>;
/**
 * @param {string} url
 * @param {RequestInit} [init]
 * @param {typeof fetch} [send]
 * @returns {Promise<{redirect?: string}>} Where the browser is to go, to be signed out at the provider, too. Rejects as
 *   `fetchUser` does.
 */
export function logOut(url: string, init?: RequestInit, send?: typeof fetch): Promise<{
    redirect?: string;
}>;
/**
 * expires_in: seconds.
 */
export type User = {
    iss: string;
    sub: string;
    expires_in: number;
    [claim: string]: any;
};
