/** What is thrown, where it must not stop what goes on around it: swallowed when it was expected, said later when not. */

/**
 * @template T
 * @param {() => T} use  Of what may be forbidden, full or unreadable.
 * @returns {T | null} null if it throws.
 */
export function orNull(use) {
  try {
    return use();
  } catch {
    return null;
  }
}

/** @param {() => void} call  What it throws is reported as an uncaught error, later. */
export function sheltered(call) {
  try {
    call();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
