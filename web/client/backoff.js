/**
 * How long to wait before the next attempt, and a wait that can be cut short. Full jitter (AWS Architecture Blog,
 * "Exponential backoff and jitter"): uniform between zero and the doubled base, so that a thousand browsers that lost
 * one server do not reconnect together. A wait that the server requests is obeyed, unless the server ends attempts
 * again and again, or requests more than `LONGEST_WAIT`.
 */

const LONGEST_WAIT = 300; // seconds

/**
 * The length of one wait.
 * @param {object} after
 * @param {number} after.failures  In a row, this one included.
 * @param {number | null} after.asked  Seconds that the server requests; null: none.
 * @param {number} after.base  Seconds; the first wait is shorter than that.
 * @param {number} after.cap  Seconds; every wait that the server did not request is shorter.
 * @param {() => number} random
 * @returns {number} Milliseconds.
 */
export function pause({ failures, asked, base, cap }, random) {
  const jitter = random() * Math.min(cap, base * 2 ** (failures - 1));
  const seconds = asked === null ? jitter : failures > 1 ? Math.max(asked, jitter) : asked;
  return Math.min(seconds, LONGEST_WAIT) * 1000;
}

/**
 * @param {() => number} random
 * @param {number} cap  Seconds; every wait that the server did not request is shorter.
 */
export function createBackoff(random, cap) {
  let failures = 0;
  let ring = () => {};
  return {
    /**
     * After one more failure.
     * @param {number | null} asked  Seconds.
     * @param {number} base  Seconds; the first wait is shorter than that.
     * @returns {Promise<void>}
     */
    wait(asked, base) {
      failures += 1;
      return new Promise((resolve) => {
        const timer = setTimeout(resolve, pause({ failures, asked, base, cap }, random));
        ring = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    },
    /** End the current wait, if any. */
    ring: () => ring(),
    /** An attempt has succeeded. */
    reset() {
      failures = 0;
    },
  };
}
