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
export const fullJitter = (attempt, base, cap, random) => random() * Math.min(cap, base * 2 ** attempt);

/**
 * A timer that can be rung early.
 * @returns {{wait(seconds: number): Promise<void>, ring(): void}} `ring` ends the wait under way, if any.
 */
export function createAlarm() {
  let ring = () => {};
  return {
    wait: (seconds) =>
      new Promise((resolve) => {
        const timer = setTimeout(resolve, seconds * 1000);
        ring = () => {
          clearTimeout(timer);
          resolve();
        };
      }),
    ring: () => ring(),
  };
}
