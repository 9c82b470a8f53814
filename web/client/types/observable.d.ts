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
export function same(left: any, right: any): boolean;
/**
 * @template L
 * @param {Set<L>} listeners
 * @param {L} listener
 * @returns {() => void} Ends the subscription.
 */
export function enlist<L>(listeners: Set<L>, listener: L): () => void;
/**
 * @template T
 * @param {Iterable<(value: T) => void>} listeners
 * @param {T} value
 */
export function announce<T>(listeners: Iterable<(value: T) => void>, value: T): void;
/**
 * @template T
 * @param {T} value
 * @returns {Readable<T> & {set(value: T): void}}
 */
export function createCell<T>(value: T): Readable<T> & {
    set(value: T): void;
};
/**
 * A value computed from a source that announces its changes. It returns the same object while the content is the
 * same.
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
     * a function that ends the subscription.
     */
    subscribe: (listener: (value: T) => void) => () => void;
};
