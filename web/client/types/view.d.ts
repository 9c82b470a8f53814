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
 * @param {State} base
 * @param {readonly import('./operation.js').OperationState[]} operations  Oldest first.
 * @param {Map<string, number>} [touched]  For the first fold of the last operation: it gets the name and known version of each
 *   value that the operation changes. Without it exceptions of `apply` are reported; with it, those of the last operation
 *   are thrown.
 * @returns {State}
 */
export function fold(base: State, operations: readonly import("./operation.js").OperationState[], touched?: Map<string, number>): State;
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
