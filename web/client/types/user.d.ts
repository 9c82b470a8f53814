/** @typedef {{iss: string, sub: string, expires_in: number, [claim: string]: any}} User  expires_in: seconds. */
/**
 * @param {string} [url]  The gateway's address; below a prefix for example "/desk/bff/user".
 * @param {RequestInit} [init]
 * @param {typeof fetch} [send]
 * @returns {Promise<User | null>} null: not signed in. Rejects with a ProblemError, or with the exception of fetch.
 */
export function fetchUser(url?: string, init?: RequestInit, send?: typeof fetch): Promise<User | null>;
/**
 * Sign out at the gateway.
 * @param {string} url  The gateway's address, "/bff/logout" below the prefix.
 * @param {RequestInit} [init]
 * @param {typeof fetch} [send]
 * @returns {Promise<{redirect?: string}>} redirect: the address that the browser must open to be signed out at the
 *   provider, too. Rejects as `fetchUser` does.
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
