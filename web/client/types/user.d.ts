/** @typedef {{iss: string, sub: string, expires_in: number, [claim: string]: any}} User  expires_in: seconds. */
/**
 * @param {string} [url]  The gateway's address; below a prefix for example "/desk/bff/user".
 * @param {RequestInit} [init]
 * @returns {Promise<User | null>} null: not signed in. Rejects with a ProblemError, or with the exception of fetch.
 */
export function fetchUser(url?: string, init?: RequestInit): Promise<User | null>;
/**
 * expires_in: seconds.
 */
export type User = {
    iss: string;
    sub: string;
    expires_in: number;
    [claim: string]: any;
};
