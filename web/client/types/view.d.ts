/** @typedef {import('./store.js').State} State */
/** @typedef {import('./store.js').Saga} Saga */
/**
 * What an `apply` function may do. It is called on every fold, so it must depend only on its input and the draft.
 * @typedef {object} Draft
 * @property {string} id  The operation's id.
 * @property {ReadonlyMap<string, Saga>} sagas
 * @property {(row: Partial<Saga> & {type: string}) => void} saga  Add a row, or change an existing one by `id`.
 * @property {(name: string, change: (data: any) => any) => void} value  Change a value's data; no effect if the value is not known.
 */
/**
 * The part of an operation that the fold reads.
 * @typedef {object} Layer
 * @property {string} id
 * @property {(draft: Draft, input: any) => void} apply
 * @property {any} [input]
 * @property {boolean} shown  Whether the base has its row.
 * @property {import('./operation.js').Progress} next  Its progress, and the server's id for its saga, once known.
 * @property {string} at  When it was requested, RFC 3339.
 * @property {Map<string, number>} expected  For each value it changes, the first version that holds its effect.
 */
/**
 * @param {State} base
 * @param {readonly Layer[]} layers  Oldest first.
 * @param {Layer} [claiming]  The layer whose expected versions are recorded, at its first fold; its exceptions are thrown.
 * @returns {State}
 */
export function fold(base: State, layers: readonly Layer[], claiming?: Layer): State;
export type State = import("./store.js").State;
export type Saga = import("./store.js").Saga;
/**
 * What an `apply` function may do. It is called on every fold, so it must depend only on its input and the draft.
 */
export type Draft = {
    /**
     * The operation's id.
     */
    id: string;
    sagas: ReadonlyMap<string, Saga>;
    /**
     * Add a row, or change an existing one by `id`.
     */
    saga: (row: Partial<Saga> & {
        type: string;
    }) => void;
    /**
     * Change a value's data; no effect if the value is not known.
     */
    value: (name: string, change: (data: any) => any) => void;
};
/**
 * The part of an operation that the fold reads.
 */
export type Layer = {
    id: string;
    apply: (draft: Draft, input: any) => void;
    input?: any;
    /**
     * Whether the base has its row.
     */
    shown: boolean;
    /**
     * Its progress, and the server's id for its saga, once known.
     */
    next: import("./operation.js").Progress;
    /**
     * When it was requested, RFC 3339.
     */
    at: string;
    /**
     * For each value it changes, the first version that holds its effect.
     */
    expected: Map<string, number>;
};
