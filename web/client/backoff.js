/**
 * How long to wait before the next attempt, and a wait that can be cut short. Full jitter (AWS Architecture Blog,
 * "Exponential backoff and jitter"): uniform between nothing and the doubled base, so that a thousand browsers that lost
 * one server do not come back together.
 */

/**
 * @param {number} attempt  Failures in a row so far, from 0.
 * @param {number} base  Seconds; the first wait is shorter than that.
 * @param {number} cap   Seconds; and every wait than this.
 * @param {() => number} random
 * @returns {number} Seconds.
 */
export const fullJitter = (attempt, base, cap, random) =>
  random() * Math.min(cap, base * 2 ** Math.min(attempt, 30));

/**
 * A timer that can be rung early.
 * @returns {{wait(seconds: number): Promise<void>, ring(): void}} `ring` ends the wait under way, if any.
 */
export function createAlarm() {
  /** @type {(() => void) | null} */
  let ring = null;
  return {
    wait(seconds) {
      return new Promise((resolve) => {
        const timer = setTimeout(finish, seconds * 1000);
        function finish() {
          clearTimeout(timer);
          ring = null;
          resolve();
        }
        ring = finish;
      });
    },
    ring() {
      ring?.();
    },
  };
}
