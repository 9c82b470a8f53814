/**
 * A position in a person's journal, `<epoch>-<offset>`. Offsets of one epoch are contiguous; positions of two epochs
 * have no order, and these functions refuse to compare them.
 */

/** @typedef {{epoch: string, offset: number}} Cursor */

/**
 * @param {any} text
 * @returns {Cursor | null} null for anything that is not a position.
 */
export function parseCursor(text) {
  const [, epoch, offset] = /^(.+)-(\d{1,15})$/.exec(text) ?? [];
  return epoch ? { epoch, offset: Number(offset) } : null;
}

/**
 * Whether a client at `position` has received everything up to `target`; false across epochs.
 * @param {Cursor | null} position
 * @param {Cursor | null} target
 */
export const reached = (position, target) =>
  position !== null && position.epoch === target?.epoch && position.offset >= target.offset;
