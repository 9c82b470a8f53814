/**
 * A position in a person's journal, `<epoch>-<offset>`. Offsets of one epoch are contiguous; positions of two epochs
 * have no order, and these functions refuse to compare them.
 */
/** @typedef {{epoch: string, offset: number}} Cursor */
/**
 * @param {any} text
 * @returns {Cursor | null} null for anything that is not a position.
 */
export function parseCursor(text: any): Cursor | null;
export function reached(position: Cursor | null, target: Cursor | null): boolean;
export type Cursor = {
    epoch: string;
    offset: number;
};
