/**
 * @param {KeyValue | null} storage
 * @param {string} userId
 */
export function createMemory(storage: KeyValue | null, userId: string): {
    entries: () => MapIterator<Entry>;
    /** @param {Entry} entry */
    keep(entry: Entry): void;
    /** @param {string} id */
    drop(id: string): void;
};
/**
 * `input` must survive JSON. unsent: the gateway has refused it before anything was done, so its next attempt is the first.
 * @typedef {{id: string, kind: string, input: any, at: string, unsent?: boolean}} Entry
 */
/** @typedef {Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>} KeyValue */
/** Older ones are not sent again, so that an order is not placed long after the person stopped waiting for it. */
export const LONGEST_MEMORY: number;
/**
 * `input` must survive JSON. unsent: the gateway has refused it before anything was done, so its next attempt is the first.
 */
export type Entry = {
    id: string;
    kind: string;
    input: any;
    at: string;
    unsent?: boolean;
};
export type KeyValue = Pick<Storage, "getItem" | "setItem" | "removeItem">;
