/** Unique ids. */

/**
 * A random UUID (RFC 9562, version 4). `crypto.randomUUID` exists only in secure contexts, which a page on plain HTTP in a
 * local network is not; `getRandomValues` exists everywhere.
 */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
