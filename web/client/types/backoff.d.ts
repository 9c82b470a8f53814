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
export function pause({ failures, asked, base, cap }: {
    failures: number;
    asked: number | null;
    base: number;
    cap: number;
}, random: () => number): number;
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
