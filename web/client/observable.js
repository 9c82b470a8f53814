/**
 * The smallest subscribable value: `get()` and `subscribe(listener)`. Listeners hear of changes of content only, never of
 * a new object that says the same; a listener that throws does not silence the others.
 */

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
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null) return false;
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
 * Call every listener; what one throws is reported as an uncaught error, later.
 * @template T
 * @param {Iterable<(value: T) => void>} listeners
 * @param {T} value
 */
export function tell(listeners, value) {
  for (const listener of [...listeners]) {
    try {
      listener(value);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}

/**
 * @template T
 * @param {T} initial
 * @returns {Readable<T> & {set(value: T): void}}
 */
export function createCell(initial) {
  let value = initial;
  /** @type {Set<(value: T) => void>} */
  const listeners = new Set();
  return {
    get: () => value,
    set(next) {
      if (same(value, next)) return;
      value = next;
      tell(listeners, value);
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

/**
 * A value computed from a source that announces its changes. It is computed again only when asked or when announced, and
 * keeps its old object while the content is the same.
 * @template T
 * @param {() => T} compute
 * @param {(listener: () => void) => () => void} onChange  Subscribes to the source.
 * @returns {Readable<T>}
 */
export function derive(compute, onChange) {
  /** @type {Set<(value: T) => void>} */
  const listeners = new Set();
  let value = compute();
  /** @type {(() => void) | null} */
  let leave = null;

  function refresh() {
    const next = compute();
    if (same(value, next)) return false;
    value = next;
    return true;
  }

  return {
    get() {
      refresh();
      return value;
    },
    subscribe(listener) {
      refresh();
      listeners.add(listener);
      leave ??= onChange(() => {
        if (refresh()) tell(listeners, value);
      });
      return () => {
        listeners.delete(listener);
        if (listeners.size === 0) {
          leave?.();
          leave = null;
        }
      };
    },
  };
}
