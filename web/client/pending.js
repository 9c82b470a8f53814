/**
 * What a reload must not lose: mutations whose fate was unknown when the page went away. Kept per person in a session
 * storage, so that nobody ever sends another's command; what is too old or unreadable is dropped, and a storage that is
 * full or forbidden costs the memory, not the mutation.
 */

/** @typedef {{id: string, kind: string, input: any, at: string}} Entry  `input` must survive JSON. */

/** @typedef {Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>} KeyValue */

/** Older ones are not sent again: nobody wants an order that they gave up on to be placed after all. */
export const LONGEST_MEMORY = 15 * 60; // seconds

/**
 * @param {KeyValue | null} storage
 * @param {string} owner
 * @param {() => number} [now]  Milliseconds since 1970.
 */
export function createMemory(storage, owner, now = Date.now) {
  const name = `bff:pending:${owner}`;

  /** @returns {Entry[]} */
  function read() {
    try {
      const entries = JSON.parse(storage?.getItem(name) ?? '[]');
      const oldest = now() - LONGEST_MEMORY * 1000;
      return Array.isArray(entries) ? entries.filter((entry) => Date.parse(entry.at) > oldest) : [];
    } catch {
      return [];
    }
  }

  /** @param {Entry[]} entries */
  function write(entries) {
    try {
      if (entries.length === 0) storage?.removeItem(name);
      else storage?.setItem(name, JSON.stringify(entries));
    } catch {
      // Full or forbidden.
    }
  }

  return {
    read,
    /** @param {Entry} entry */
    keep: (entry) => write([...read().filter((other) => other.id !== entry.id), entry]),
    /** @param {string} id */
    drop(id) {
      const entries = read();
      if (entries.some((entry) => entry.id === id)) write(entries.filter((entry) => entry.id !== id));
    },
  };
}
