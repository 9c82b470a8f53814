/**
 * The smallest subscribable value: `get()` and `subscribe(listener)`. Listeners are called only when the content
 * changes, never for a new object with the same content; a listener that throws does not affect the others.
 */
import { sheltered } from './faults.js';

/**
 * @template T
 * @typedef {object} Readable
 * @property {() => T} get  The value now.
 * @property {(listener: (value: T) => void) => () => void} subscribe  Calls back on every change (not at once); returns
 *   a function that ends the subscription.
 */

/**
 * Structural equality of JSON-like values.
 * @param {any} left
 * @param {any} right
 * @returns {boolean}
 */
export function same(left, right) {
  if (left === right) return true;
  if (Object(left) !== left || Object(right) !== right) return false; // not two objects
  const keys = Object.keys(left);
  return (
    Array.isArray(left) === Array.isArray(right) &&
    keys.length === Object.keys(right).length &&
    keys.every((key) => Object.hasOwn(right, key) && same(left[key], right[key]))
  );
}

/**
 * @template L
 * @param {Set<L>} listeners
 * @param {L} listener
 * @returns {() => void} Ends the subscription.
 */
export function enlist(listeners, listener) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/**
 * @template T
 * @param {Iterable<(value: T) => void>} listeners
 * @param {T} value
 */
export function announce(listeners, value) {
  for (const listener of [...listeners]) sheltered(() => listener(value));
}

/**
 * @template T
 * @param {T} value
 * @returns {Readable<T> & {set(value: T): void}}
 */
export function createCell(value) {
  /** @type {Set<(value: T) => void>} */
  const listeners = new Set();
  return {
    get: () => value,
    set(next) {
      if (same(value, next)) return;
      value = next;
      announce(listeners, next);
    },
    subscribe: (listener) => enlist(listeners, listener),
  };
}

/**
 * A value computed from a source that announces its changes. It returns the same object while the content is the
 * same.
 * @template T
 * @param {() => T} compute
 * @param {Set<() => void>} announced  The source calls all of these.
 * @returns {Readable<T>}
 */
export function derive(compute, announced) {
  let value = compute();
  function get() {
    const next = compute();
    return same(value, next) ? value : (value = next);
  }
  return {
    get,
    subscribe(listener) {
      // Separate from `value`: a read between a change and its announcement must not suppress the notification.
      let told = get();
      return enlist(announced, () => {
        const before = told;
        told = get();
        if (!same(before, told)) listener(told);
      });
    },
  };
}
