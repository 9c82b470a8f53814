/**
 * What a reload must not lose: mutations whose fate was unknown when the page went away. Kept per person in a session
 * storage, so that nobody ever sends another's command; what is too old or unreadable is dropped, and a storage that is
 * full or forbidden costs the memory, not the mutation.
 */
import { orNull } from './faults.js';

/** @typedef {{id: string, kind: string, input: any, at: string}} Entry  `input` must survive JSON. */

/** @typedef {Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>} KeyValue */

/** Older ones are not sent again: nobody wants an order that they gave up on to be placed after all. */
export const LONGEST_MEMORY = 15 * 60; // seconds

/**
 * @param {KeyValue | null} storage
 * @param {string} owner
 */
export function createMemory(storage, owner) {
  const name = `bff:pending:${owner}`;
  /** @type {Map<string, Entry>} */
  const entries = new Map();
  orNull(() => {
    for (const entry of JSON.parse(storage?.getItem(name) ?? '[]'))
      if (Date.parse(entry.at) > Date.now() - LONGEST_MEMORY * 1000) entries.set(entry.id, entry);
  });

  function write() {
    orNull(() => {
      if (entries.size === 0) storage?.removeItem(name);
      else storage?.setItem(name, JSON.stringify([...entries.values()]));
    });
  }

  return {
    entries: () => entries.values(),
    /** @param {Entry} entry */
    keep(entry) {
      entries.set(entry.id, entry);
      write();
    },
    /** @param {string} id */
    drop(id) {
      if (entries.delete(id)) write();
    },
  };
}
