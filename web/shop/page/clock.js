/**
 * Countdowns. A view that asks for the seconds until a moment is drawn again every half second; the timer stops with the
 * last countdown on the page.
 */
import { invalidate } from './schedule.js';

const TICK = 500; // milliseconds

/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/** @param {string} at RFC 3339 @returns {number} Whole seconds, 0 once it has passed. */
export function secondsUntil(at) {
  timer ??= setTimeout(() => {
    timer = undefined;
    invalidate();
  }, TICK);
  return Math.max(0, Math.ceil((Date.parse(at) - Date.now()) / 1000));
}
