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
 * @template T
 * @param {T} value
 * @param {() => () => void} [follow]  Called when somebody begins to listen; what it returns, when nobody does any more.
 * @returns {Readable<T> & {set(value: T): void}}
 */
export function createCell<T>(value: T, follow?: () => () => void): Readable<T> & {
    set(value: T): void;
};
/**
 * A value computed from a source that announces its changes. It is computed again only when asked or when announced, and
 * keeps its old object while the content is the same.
 * @template T
 * @param {() => T} compute
 * @param {Set<() => void>} announced  The source calls all of these.
 * @returns {Readable<T>}
 */
export function derive<T>(compute: () => T, announced: Set<() => void>): Readable<T>;
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
