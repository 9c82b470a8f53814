/**
 * A position in a person's journal, `<epoch>-<offset>`. Offsets of one epoch are contiguous; positions of two epochs
 * cannot be ordered, and these functions refuse to pretend otherwise.
 */
/** @typedef {{epoch: string, offset: number}} Cursor */
/**
 * @param {unknown} text
 * @returns {Cursor | null} null for anything that is not a position.
 */
export function parseCursor(text: unknown): Cursor | null;
/**
 * @param {Cursor} cursor
 * @returns {string}
 */
export function formatCursor(cursor: Cursor): string;
/**
 * Whether a reader at `position` has seen everything up to `target`; false across epochs.
 * @param {Cursor | null} position
 * @param {Cursor | null} target
 */
export function reached(position: Cursor | null, target: Cursor | null): boolean;
export type Cursor = {
    epoch: string;
    offset: number;
};
