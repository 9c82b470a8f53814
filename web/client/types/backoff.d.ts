/**
 * A timer that can be rung early.
 * @returns {{wait(seconds: number): Promise<void>, ring(): void}} `ring` ends the wait under way, if any.
 */
export function createAlarm(): {
    wait(seconds: number): Promise<void>;
    ring(): void;
};
export function fullJitter(attempt: number, base: number, cap: number, random: () => number): number;
