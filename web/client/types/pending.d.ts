/**
 * @param {KeyValue | null} storage
 * @param {string} owner
 * @param {() => number} [now]  Milliseconds since 1970.
 */
export function createMemory(storage: KeyValue | null, owner: string, now?: () => number): {
    read: () => Entry[];
    /** @param {Entry} entry */
    keep: (entry: Entry) => void;
    /** @param {string} id */
    drop(id: string): void;
};
/**
 * What a reload must not lose: mutations whose fate was unknown when the page went away. Kept per person in a session
 * storage, so that nobody ever sends another's command; what is too old or unreadable is dropped, and a storage that is
 * full or forbidden costs the memory, not the mutation.
 */
/** @typedef {{id: string, kind: string, input: any, at: string}} Entry  `input` must survive JSON. */
/** @typedef {Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>} KeyValue */
/** Older ones are not sent again: nobody wants an order that they gave up on to be placed after all. */
export const LONGEST_MEMORY: number;
/**
 * `input` must survive JSON.
 */
export type Entry = {
    id: string;
    kind: string;
    input: any;
    at: string;
};
export type KeyValue = Pick<Storage, "getItem" | "setItem" | "removeItem">;
