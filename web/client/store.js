/**
 * The server's state, and nothing else: sagas and values by version, and their position. The state changes only by a
 * snapshot, a reset, a saga, a value, or a value that is gone. An event that does not follow the position is refused as a gap and changes
 * nothing, and a repeat changes nothing either. A saga event without a position counts by its version alone.
 */
import { parseCursor } from './cursor.js';

/** @typedef {'PENDING' | 'RUNNING' | 'COMPENSATING' | 'COMPLETED' | 'COMPENSATED' | 'REJECTED' | 'NEEDS_ATTENTION'} SagaStatus */

/**
 * @typedef {object} Saga
 * @property {string} id
 * @property {string} type
 * @property {SagaStatus} status
 * @property {string | null} step
 * @property {number} attempt
 * @property {number} version  -1 for a saga that only this browser has so far.
 * @property {string | null} reason
 * @property {string | null} mutation  The Idempotency-Key of the command that started it.
 * @property {string[]} [mutations]  The Idempotency-Keys of further commands that this status contains.
 * @property {string} at  RFC 3339.
 * @property {any} data   The domain's own part.
 * @property {'sending' | 'accepted' | 'unknown'} [pending]  Present while this row comes from this browser, not from the server.
 */

/**
 * @typedef {object} Value
 * @property {string} name
 * @property {number} version
 * @property {any} data
 * @property {string} at  RFC 3339.
 * @property {string[]} [mutations]  The newest commands that this version contains, by Idempotency-Key; absent where its
 *   service names none.
 */

/** @typedef {{sagas: ReadonlyMap<string, Saga>, values: ReadonlyMap<string, Value>}} State */

/**
 * replaced: by a snapshot or reset. applied: state or position advanced. repeated: known already. gap: an event is
 * missing, join again after `cursor()`. ignored: not a state event.
 * @typedef {'replaced' | 'applied' | 'repeated' | 'gap' | 'ignored'} Verdict
 */

/** The store never has more: then the saga that ended longest ago is dropped, or the oldest one if none has ended. */
const MOST_SAGAS = 1000;

/** The store never has more: then the value without a subscriber that changed longest ago is dropped. */
const MOST_KEPT_VALUES = 500;

/** Most values that are subscribed to at a time. */
export const MOST_VALUES = 50;

/** The outcome of an ended saga for the person who started it. */
export const OUTCOMES = /** @type {const} */ ({
  COMPLETED: 'confirmed',
  COMPENSATED: 'compensated',
  REJECTED: 'rejected',
});

/** Whether the saga has ended. @param {{status: string}} saga */
export const ended = ({ status }) => status in OUTCOMES;

/** The defaults of a saga. */
export const BLANK = {
  type: '',
  step: null,
  attempt: 0,
  reason: null,
  mutation: null,
  at: '',
  data: null,
};

/**
 * @param {any} raw
 * @param {string[]} names  The members that must be text.
 * @returns {any} With its version as a number; null if it is invalid.
 */
function read(raw, ...names) {
  const version = Number(raw?.version);
  return names.every((name) => typeof raw?.[name] === 'string') && Number.isFinite(version)
    ? { ...raw, version }
    : null;
}

/** Whether `value` names a mutation that `known` does not name. @param {Value} known @param {Value} value */
const namesMore = (known, { mutations }) =>
  mutations?.some((one) => !known.mutations?.includes(one)) ?? false;

/** @param {any} raw @returns {Saga | null} */
const readSaga = (raw) => read(raw, 'id', 'status');

/** @param {ReadonlyMap<string, Saga>} sagas @param {string} mutation @returns {Saga | undefined} The newest saga that this mutation started. */
export function findByMutation(sagas, mutation) {
  let found;
  for (const saga of sagas.values()) if (saga.mutation === mutation) found = saga;
  return found;
}

/** Whether this mutation started the saga, or its status contains it. @param {Saga} saga @param {string} id */
export const contains = ({ mutation, mutations }, id) => mutation === id || mutations?.includes(id) === true;

/** @param {ReadonlyMap<string, Saga>} sagas @param {string} id @returns {Saga | undefined} The newest saga that contains this mutation. */
export function findContaining(sagas, id) {
  let found;
  for (const saga of sagas.values()) if (contains(saga, id)) found = saga;
  return found;
}

/**
 * @param {object} [options]
 * @param {(name: string) => boolean} [options.isFollowed]  Whether the page subscribes to this value; default: to none.
 */
export function createStore({ isFollowed = () => false } = {}) {
  /** @type {Map<string, Saga>} */
  const sagas = new Map();
  /** @type {Map<string, Value>} */
  const values = new Map();
  /** @type {string | null} */
  let cursor = null;
  /** The last snapshot's epoch, kept when the position is dropped. @type {string | null} */
  let epoch = null;
  /** In which epoch each value was learned; null before the first. @type {Map<string, string | null>} */
  const learnedIn = new Map();

  /**
   * The latest version counts. In a new epoch every value of the stream counts, because versions may have gone back.
   * @param {any} raw
   * @param {boolean} [learned]  Not from the stream: only its version counts.
   * @returns {Verdict}
   */
  function setValue(raw, learned) {
    /** @type {Value | null} */
    const value = read(raw, 'name');
    if (!value) return 'ignored';
    const { name } = value;
    const known = values.get(name);
    const over = !learned && known !== undefined && learnedIn.get(name) !== epoch;
    if (over || !known || known.version <= value.version) learnedIn.set(name, epoch);
    if (over || !known || known.version < value.version) {
      values.delete(name); // the newest is last
      values.set(name, value);
      trimValues();
    } else if (known.version === value.version && namesMore(known, value))
      // The same version, sent again with further mutations.
      values.set(name, { ...known, mutations: value.mutations });
    else return 'repeated';
    return 'applied';
  }

  /**
   * Its service does not have the value any more. A higher version is newer than that.
   * @param {any} raw
   * @returns {Verdict}
   */
  function dropValue(raw) {
    const last = read(raw, 'name');
    const known = last && values.get(last.name);
    if (!known) return last ? 'repeated' : 'ignored';
    if (learnedIn.get(last.name) === epoch && known.version > last.version) return 'repeated';
    values.delete(last.name);
    learnedIn.delete(last.name);
    return 'applied';
  }

  function trimValues() {
    if (values.size <= MOST_KEPT_VALUES) return;
    for (const name of values.keys())
      if (!isFollowed(name)) {
        values.delete(name);
        learnedIn.delete(name);
        return;
      }
  }

  function trimSagas() {
    if (sagas.size > MOST_SAGAS)
      sagas.delete(([...sagas.values()].find(ended) ?? sagas.values().next().value)?.id ?? '');
  }

  /**
   * An event without a position, sent while the journal is restored: only its version decides.
   * @param {Saga | null} saga @returns {Verdict}
   */
  function amend(saga) {
    if (!saga || (sagas.get(saga.id)?.version ?? -1) >= saga.version) return 'repeated';
    sagas.set(saga.id, saga);
    trimSagas();
    return 'applied';
  }

  return {
    /**
     * @param {import('./connection.js').LiveEvent} event
     * @returns {Verdict}
     */
    apply({ type, data, id }) {
      if (type === 'value') return setValue(data);
      if (type === 'gone') return dropValue(data);
      const replaced = type === 'snapshot' || type === 'reset';
      if (!replaced && type !== 'saga') return 'ignored';
      if (!replaced && !id) return cursor === null ? 'ignored' : amend(readSaga(data));
      const next = parseCursor(id);
      const last = parseCursor(cursor);
      const ahead = next && next.epoch === last?.epoch ? next.offset - last.offset : Infinity;
      /** @type {(Saga | null)[] | undefined} */
      const read = replaced ? data?.sagas?.map(readSaga) : [readSaga(data)];
      if (!next || !read) return 'gap';
      if (replaced) {
        // Values that were learned before the first snapshot belong to its epoch.
        if (epoch === null) for (const name of values.keys()) learnedIn.set(name, next.epoch);
        epoch = next.epoch;
        for (const value of data.values ?? []) setValue(value);
        // For another tab that has just joined; here its sagas are not new.
        if (!ahead) return 'applied';
        sagas.clear();
      } else {
        if (!read[0]) return 'gap';
        if (ahead !== 1) return ahead < 1 ? 'repeated' : 'gap';
      }
      cursor = id;
      // A snapshot begins with the newest.
      for (const saga of read.reverse())
        if (saga && (sagas.get(saga.id)?.version ?? -1) < saga.version) sagas.set(saga.id, saga);
      if (replaced) return 'replaced';
      trimSagas();
      return 'applied';
    },
    /** A value from elsewhere, for example from a screen. @param {any} value */
    learn: (value) => setValue(value, true),
    /** @type {State} The maps are live: read them, do not store them. */
    state: { sagas, values },
    /** The position as the stream's Last-Event-ID, null before the first snapshot. */
    cursor: () => cursor,
    /** Drop the position, not the state: the next join starts with a snapshot. */
    forget() {
      cursor = null;
    },
    /** Drop everything: another person is signed in now. */
    clear() {
      cursor = epoch = null;
      learnedIn.clear();
      sagas.clear();
      values.clear();
    },
  };
}

/** @typedef {ReturnType<typeof createStore>} Store */
