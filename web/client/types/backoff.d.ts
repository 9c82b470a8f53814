/**
 * How long to wait before the next attempt, and a wait that can be cut short. Full jitter (AWS Architecture Blog,
 * "Exponential backoff and jitter"): uniform between nothing and the doubled base, so that a thousand browsers that lost
 * one server do not come back together.
 */
/**
 * @param {number} attempt  Failures in a row so far, from 0.
 * @param {{base?: number, cap?: number, random?: () => number}} [options]  Seconds; default base 1, cap 30.
 * @returns {number} Seconds.
 */
export function fullJitter(attempt: number, { base, cap, random }?: {
    base?: number;
    cap?: number;
    random?: () => number;
}): number;
/**
 * A timer that can be rung early.
 * @returns {{wait(seconds: number): Promise<void>, ring(): void}} `ring` ends the wait under way, if any.
 */
export function createAlarm(): {
    wait(seconds: number): Promise<void>;
    ring(): void;
};
