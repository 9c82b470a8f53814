/** Unique ids. */
/**
 * A random UUID (RFC 9562, version 4). `crypto.randomUUID` exists only in secure contexts, which a page on plain HTTP in a
 * local network is not; `getRandomValues` exists everywhere.
 */
export function newId(): string;
