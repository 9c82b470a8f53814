/** @typedef {{iss: string, sub: string, expires_in: number, [claim: string]: any}} User  expires_in: seconds. */
/**
 * @param {string} [url]  Below a prefix the gateway's own, "/desk/bff/user".
 * @param {RequestInit} [init]
 * @returns {Promise<User | null>} null: nobody. Rejects with a ProblemError, or with what fetch threw.
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
