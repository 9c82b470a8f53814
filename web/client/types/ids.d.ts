/** Names that nobody else has. */
/**
 * A random UUID (RFC 9562, version 4). `crypto.randomUUID` is only there in secure contexts, which a page on plain HTTP in a
 * local network is not; the random bytes are everywhere.
 */
export function newId(): string;
