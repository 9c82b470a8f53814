/**
 * @param {() => number} random
 * @param {number} cap  Seconds; every wait that the server did not request is shorter.
 */
export function createBackoff(random: () => number, cap: number): {
    /**
     * After one more failure.
     * @param {number | null} asked  Seconds.
     * @param {number} base  Seconds; the first wait is shorter than that.
     * @returns {Promise<void>}
     */
    wait(asked: number | null, base: number): Promise<void>;
    /** End the current wait, if any. */
    ring: () => void;
    /** An attempt has succeeded. */
    reset(): void;
};
