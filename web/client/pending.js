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
  /** @type {any} where there is none, using it fails like a forbidden one */
  const place = storage;
  orNull(() => {
    for (const entry of JSON.parse(place.getItem(name)))
      if (Date.parse(entry.at) > Date.now() - LONGEST_MEMORY * 1000) entries.set(entry.id, entry);
  });
  const write = () =>
    orNull(() =>
      entries.size ? place.setItem(name, JSON.stringify([...entries.values()])) : place.removeItem(name),
    );

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
