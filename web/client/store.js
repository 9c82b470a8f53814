/**
 * What the server said, and nothing else: sagas and values by version, and the position they are true at. State changes
 * only by a snapshot, a reset, a saga or a value; an event that does not follow the position is refused as a gap and
 * changes nothing, and a repeat changes nothing either.
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
 * applied: state or position advanced. repeated: known already. gap: something is missing, join again after `cursor()`.
 * ignored: not a state event.
 * @typedef {'applied' | 'repeated' | 'gap' | 'ignored'} Verdict
 */

/** More are never kept: the one that ended longest ago gives way. */
const MOST_SAGAS = 1000;

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

/** @param {unknown} value */
const isText = (value) => typeof value === 'string';

/** @param {any} raw @returns {any} With its version as a number; null without one. */
function versioned(raw) {
  const version = Number(raw?.version);
  return Number.isFinite(version) ? { ...raw, version } : null;
}

/** @param {any} raw @returns {Saga | null} */
function readSaga(raw) {
  const saga = versioned(raw);
  return saga && isText(saga.id) && isText(saga.status) ? { ...BLANK, ...saga } : null;
}

/** @param {any} raw @returns {Value | null} */
function readValue(raw) {
  const value = versioned(raw);
  return value && isText(value.name) ? value : null;
}

/** @param {ReadonlyMap<string, Saga>} sagas @param {string} mutation @returns {Saga | undefined} The newest that echoes it. */
export function findByMutation(sagas, mutation) {
  let found;
  for (const saga of sagas.values()) if (saga.mutation === mutation) found = saga;
  return found;
}

/** @param {string} type  Of an event. */
export const isReplacement = (type) => type === 'snapshot' || type === 'reset';

export function createStore() {
  /** @type {Map<string, Saga>} */
  const sagas = new Map();
  /** @type {Map<string, Value>} */
  const values = new Map();
  /** @type {import('./cursor.js').Cursor | null} */
  let position = null;

  /**
   * @param {any} data
   * @param {string} id
   * @returns {Verdict}
   */
  function replace(data, id) {
    const cursor = parseCursor(data?.cursor ?? id);
    if (!cursor || !data?.sagas) return 'gap';
    position = cursor;
    sagas.clear();
    for (const raw of data.sagas) {
      const saga = readSaga(raw);
      if (saga) sagas.set(saga.id, saga);
    }
    // A snapshot is the server starting over: what it lists is taken even if its version went back.
    for (const raw of data.values ?? []) {
      const value = readValue(raw);
      if (value) values.set(value.name, value);
    }
    return 'applied';
  }

  /**
   * @param {any} data
   * @param {string} id
   * @returns {Verdict}
   */
  function advance(data, id) {
    const cursor = parseCursor(id);
    const saga = readSaga(data);
    if (!saga || !cursor || cursor.epoch !== position?.epoch) return 'gap';
    if (cursor.offset <= position.offset) return 'repeated';
    if (cursor.offset !== position.offset + 1) return 'gap';
    position = cursor;
    const known = sagas.get(saga.id);
    if (!known || known.version < saga.version) sagas.set(saga.id, saga);
    if (sagas.size > MOST_SAGAS) sagas.delete([...sagas.values()].find(ended)?.id ?? '');
    return 'applied';
  }

  /**
   * Latest wins: a version not newer than the known one changes nothing.
   * @param {any} raw  `{name, version, data, at}`
   * @returns {Verdict}
   */
  function observe(raw) {
    const value = readValue(raw);
    if (!value) return 'ignored';
    const known = values.get(value.name);
    if (known && known.version >= value.version) return 'repeated';
    values.set(value.name, value);
    return 'applied';
  }

  /** The position as the stream's Last-Event-ID, null before the first snapshot. */
  const cursor = () => position && `${position.epoch}-${position.offset}`;

  /** Forget the position, not the state: the next join starts with a snapshot. */
  function forget() {
    position = null;
  }

  return {
    /**
     * @param {import('./stream.js').LiveEvent} event
     * @returns {Verdict}
     */
    apply({ type, data, id }) {
      if (isReplacement(type)) return replace(data, id);
      if (type === 'saga') return advance(data, id);
      return type === 'value' ? observe(data) : 'ignored';
    },
    observe,
    /** @type {State} Live maps: read them, do not keep them. */
    state: { sagas, values },
    position: () => position,
    /** All of it as a snapshot tells it. */
    snapshot: () => ({ cursor: cursor(), sagas: [...sagas.values()], values: [...values.values()] }),
    cursor,
    forget,
    /** Forget everything: somebody else is here now. */
    clear() {
      forget();
      sagas.clear();
      values.clear();
    },
  };
}

/** @typedef {ReturnType<typeof createStore>} Store */
