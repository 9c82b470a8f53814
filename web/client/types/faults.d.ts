/** Exceptions that must not stop the surrounding code: ignored when they were expected, reported later when not. */
/**
 * @template T
 * @param {() => T} use  Uses something that may be forbidden, full or unreadable.
 * @returns {T | null} null if it throws.
 */
export function orNull<T>(use: () => T): T | null;
/**
 * Call a function; an exception is reported as an uncaught error, later.
 * @param {() => void} call
 */
export function sheltered(call: () => void): void;
