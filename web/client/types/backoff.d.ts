/**
 * @param {() => number} random
 * @param {number} cap  Seconds; every wait that nobody asked for is shorter.
 */
export function createBackoff(random: () => number, cap: number): {
    /**
     * After one more failure.
     * @param {number | null} asked  Seconds.
     * @param {number} base  Seconds; the first wait is shorter than that.
     * @returns {Promise<void>}
     */
    wait(asked: number | null, base: number): Promise<void>;
    /** End the wait under way, if any. */
    ring: () => void;
    /** It has succeeded. */
    reset(): void;
};
