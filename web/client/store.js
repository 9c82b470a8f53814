/**
 * What the server said, and nothing else: sagas and values by version, and the position they are true at. State changes
 * only by a snapshot, a reset, a saga or a value; an event that does not follow the position is refused as a gap and
 * changes nothing, and a repeat changes nothing either. A saga's event without a position counts by its version alone.
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
 * @property {number} version  -1 for one that only this browser knows yet.
 * @property {string | null} reason
 * @property {string | null} mutation  The Idempotency-Key of the command that started it.
 * @property {string} at  RFC 3339.
 * @property {any} data   The domain's own part.
 * @property {'sending' | 'accepted' | 'unknown'} [pending]  Present while this row is this browser's word, not the server's.
 */

/** @typedef {{name: string, version: number, data: any, at: string}} Value */

/** @typedef {{sagas: ReadonlyMap<string, Saga>, values: ReadonlyMap<string, Value>}} State */

/**
 * replaced: by a snapshot or reset. applied: state or position advanced. repeated: known already. gap: something is missing,
 * join again after `cursor()`. ignored: not a state event.
 * @typedef {'replaced' | 'applied' | 'repeated' | 'gap' | 'ignored'} Verdict
 */

/** More are never kept: the one that ended longest ago gives way. */
const MOST_SAGAS = 1000;

/** Most values that are watched at a time. */
export const MOST_VALUES = 50;

/** How an ended saga ended for who asked for it. */
export const OUTCOMES = /** @type {const} */ ({
  COMPLETED: 'confirmed',
  COMPENSATED: 'compensated',
  REJECTED: 'rejected',
});

/** @param {{status: string}} saga  Whether nothing more will happen to it. */
export const ended = ({ status }) => status in OUTCOMES;

/** What a saga is unless it says otherwise. */
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
 * @param {string[]} names  What must be there as text.
 * @returns {any} With its version as a number; null if it is not what it should be.
 */
function read(raw, ...names) {
  const version = Number(raw?.version);
  return names.every((name) => typeof raw?.[name] === 'string') && Number.isFinite(version)
    ? { ...raw, version }
    : null;
}

/** @param {any} raw @returns {Saga | null} */
const readSaga = (raw) => read(raw, 'id', 'status');

/** @param {ReadonlyMap<string, Saga>} sagas @param {string} mutation @returns {Saga | undefined} The newest that echoes it. */
export function findByMutation(sagas, mutation) {
  let found;
  for (const saga of sagas.values()) if (saga.mutation === mutation) found = saga;
  return found;
}

export function createStore() {
  /** @type {Map<string, Saga>} */
  const sagas = new Map();
  /** @type {Map<string, Value>} */
  const values = new Map();
  /** @type {string | null} */
  let cursor = null;

  /** Latest wins. @param {any} raw @param {boolean} [over]  The journal starts over: even if the version went back. @returns {Verdict} */
  function observe(raw, over) {
    /** @type {Value | null} */
    const value = read(raw, 'name');
    if (!value) return 'ignored';
    const known = values.get(value.name);
    if (!over && known && known.version >= value.version) return 'repeated';
    values.set(value.name, value);
    return 'applied';
  }

  /** An event at no position, told while the journal is restored: its version says whether it is news. @param {Saga | null} saga @returns {Verdict} */
  function amend(saga) {
    if (!saga || (sagas.get(saga.id)?.version ?? -1) >= saga.version) return 'repeated';
    sagas.set(saga.id, saga);
    return 'applied';
  }

  return {
    /**
     * @param {import('./connection.js').LiveEvent} event
     * @returns {Verdict}
     */
    apply({ type, data, id }) {
      if (type === 'value') return observe(data);
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
        for (const value of data.values ?? []) observe(value, last !== null && ahead === Infinity);
        // For another tab that has just joined; here it says nothing new of sagas.
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
      if (sagas.size > MOST_SAGAS) sagas.delete([...sagas.values()].find(ended)?.id ?? '');
      return 'applied';
    },
    /** @type {State} Live maps: read them, do not keep them. */
    state: { sagas, values },
    /** The position as the stream's Last-Event-ID, null before the first snapshot. */
    cursor: () => cursor,
    /** Forget the position, not the state: the next join starts with a snapshot. */
    forget() {
      cursor = null;
    },
    /** Forget everything: somebody else is here now. */
    clear() {
      cursor = null;
      sagas.clear();
      values.clear();
    },
  };
}

/** @typedef {ReturnType<typeof createStore>} Store */
