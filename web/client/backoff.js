/**
 * How long to wait before the next attempt, and a wait that can be cut short. Full jitter (AWS Architecture Blog,
 * "Exponential backoff and jitter"): uniform between nothing and the doubled base, so that a thousand browsers that lost
 * one server do not come back together. Whoever asks us to wait is heeded, unless they keep sending us away at once or for
 * longer than anyone would wait.
 */

const LONGEST_WAIT = 300; // seconds

/**
 * @param {() => number} random
 * @param {number} cap  Seconds; every wait that nobody asked for is shorter.
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
      const jitter = random() * Math.min(cap, base * 2 ** failures);
      const seconds = asked === null ? jitter : failures ? Math.max(asked, jitter) : asked;
      failures += 1;
      return new Promise((resolve) => {
        const timer = setTimeout(resolve, Math.min(seconds, LONGEST_WAIT) * 1000);
        ring = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    },
    /** End the wait under way, if any. */
    ring: () => ring(),
    /** It has succeeded. */
    reset() {
      failures = 0;
    },
  };
}
