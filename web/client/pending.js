/**
 * What a reload must not lose: mutations whose outcome was unknown when the page was closed. They are stored per
 * person in a session storage, so that no command of one person is sent for another. Entries that are too old or
 * unreadable are dropped. With a storage that is full or forbidden, mutations work but do not survive a reload.
 */
import { orNull } from './faults.js';

/**
 * `input` must survive JSON. unsent: the gateway has refused it before anything was done, so its next attempt is the first.
 * @typedef {{id: string, kind: string, input: any, at: string, unsent?: boolean}} Entry
 */

/** @typedef {Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>} KeyValue */

/** Older ones are not sent again, so that an order is not placed long after the person stopped waiting for it. */
export const LONGEST_MEMORY = 15 * 60; // seconds

/**
 * @param {KeyValue | null} storage
 * @param {string} userId
 */
export function createMemory(storage, userId) {
  const name = `bff:pending:${userId}`;
  /** @type {Map<string, Entry>} */
  const entries = new Map();
  /** @type {any} where there is none, using it fails as with a forbidden one */
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
