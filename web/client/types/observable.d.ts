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
export function same(left: unknown, right: unknown): boolean;
/**
 * Call every listener; what one throws is reported as an uncaught error, later.
 * @template T
 * @param {Iterable<(value: T) => void>} listeners
 * @param {T} value
 */
export function tell<T>(listeners: Iterable<(value: T) => void>, value: T): void;
/**
 * @template T
 * @param {T} initial
 * @returns {Readable<T> & {set(value: T): void}}
 */
export function createCell<T>(initial: T): Readable<T> & {
    set(value: T): void;
};
/**
 * A value computed from a source that announces its changes. It is computed again only when asked or when announced, and
 * keeps its old object while the content is the same.
 * @template T
 * @param {() => T} compute
 * @param {(listener: () => void) => () => void} onChange  Subscribes to the source.
 * @returns {Readable<T>}
 */
export function derive<T>(compute: () => T, onChange: (listener: () => void) => () => void): Readable<T>;
export type Readable<T> = {
    /**
     * The value now.
     */
    get: () => T;
    /**
     * Calls back on every change (not at once); returns
     * the way out.
     */
    subscribe: (listener: (value: T) => void) => () => void;
};
