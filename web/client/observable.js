/**
 * The smallest subscribable value: `get()` and `subscribe(listener)`. Listeners hear of changes of content only, never of
 * a new object that says the same; a listener that throws does not silence the others.
 */
import { sheltered } from './faults.js';

/**
 * @template T
 * @typedef {object} Readable
 * @property {() => T} get  The value now.
 * @property {(listener: (value: T) => void) => () => void} subscribe  Calls back on every change (not at once); returns
 *   the way out.
 */

/**
 * Structural equality of JSON-like values.
 * @param {unknown} left
 * @param {unknown} right
 * @returns {boolean}
 */
export function same(left, right) {
  if (left === right) return true;
  if (Object(left) !== left || Object(right) !== right) return false; // not two objects
  if (Array.isArray(left) !== Array.isArray(right)) return false;
  const a = /** @type {Record<string, unknown>} */ (left);
  const b = /** @type {Record<string, unknown>} */ (right);
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && same(a[key], b[key]))
  );
}

/**
 * @template T
 * @param {T} value
 * @param {() => () => void} [follow]  Called when somebody begins to listen; what it returns, when nobody does any more.
 * @returns {Readable<T> & {set(value: T): void}}
 */
export function createCell(value, follow) {
  /** @type {Set<(value: T) => void>} */
  const listeners = new Set();
  /** @type {(() => void) | undefined} */
  let leave;
  return {
    get: () => value,
    set(next) {
      if (same(value, next)) return;
      value = next;
      for (const listener of [...listeners]) sheltered(() => listener(next));
    },
    subscribe(listener) {
      if (listeners.size === 0) leave = follow?.();
      listeners.add(listener);
      return () => {
        if (listeners.delete(listener) && listeners.size === 0) leave?.();
      };
    },
  };
}

/**
 * A value computed from a source that announces its changes. It is computed again only when asked or when announced, and
 * keeps its old object while the content is the same.
 * @template T
 * @param {() => T} compute
 * @param {Set<() => void>} announced  The source calls all of these.
 * @returns {Readable<T>}
 */
export function derive(compute, announced) {
  let value = compute();
  function get() {
    const next = compute();
    if (!same(value, next)) value = next;
    return value;
  }
  // Apart from `value`: who asks between a change and its announcement must not keep it from the listeners.
  const told = createCell(value, () => {
    const tell = () => told.set(get());
    tell();
    announced.add(tell);
    return () => void announced.delete(tell);
  });
  return { get, subscribe: told.subscribe };
}
