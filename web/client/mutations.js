/**
 * Optimistic mutations. A mutation is shown at once, is sent under its own id until its outcome is known, and is
 * settled by the journal or by its answer, whichever comes first. For every listener the change of the base and the
 * end of the operation are one step. It refuses more than `MOST_PENDING` at a time.
 */
import { createBackoff } from './backoff.js';
import { parseCursor } from './cursor.js';
import { sheltered } from './faults.js';
import { announce } from './observable.js';
import { createRecord, isOpen, settle } from './operation.js';
import { createMemory } from './pending.js';
import { attemptOnce } from './send.js';
import { fold } from './view.js';

/** @typedef {import('./operation.js').Definition} Definition */
/** @typedef {import('./operation.js').Operation} Operation */
/** @typedef {import('./operation.js').OperationRecord} OperationRecord */

/**
 * A mutation that can be sent again after a reload, because it is made from its input alone.
 * @template I
 * @typedef {object} Kind
 * @property {(input: I) => import('./send.js').RequestData} request
 * @property {(draft: import('./view.js').Draft, input: I) => void} apply
 * @property {(state: import('./store.js').State, input: I) => boolean} [until]  See `Definition.until`.
 */

/**
 * @typedef {object} Host
 * @property {import('./store.js').Store} store
 * @property {Iterable<() => void>} listeners  Of the view.
 * @property {() => boolean} isLive  Whether the journal is being followed.
 * @property {import('./send.js').Send} fetch
 * @property {import('./pending.js').KeyValue | null} storage
 * @property {number} [timeout]   Seconds for one attempt; default 15.
 * @property {number} [attempts]  Most attempts; default 8.
 * @property {number} [base]      Seconds; first backoff between attempts, default 0.5, cap 10.
 * @property {number} [linger]    Seconds that an accepted operation waits for an event that does not come; default 60. A
 *   completed or compensated one waits a thirtieth of it for its values.
 * @property {() => string} [newId]
 * @property {() => number} [random]
 */

export const MOST_PENDING = 50;

export class TooManyPending extends RangeError {}

/** @param {number} seconds @param {() => void} then */
const later = (seconds, then) =>
  /** @type {any} a number in browsers, an object in Node, where it must not keep the process alive */ (
    setTimeout(then, seconds * 1000)
  ).unref?.();

/** @param {Host} host */
export function createMutations(host) {
  const { store, timeout = 15, attempts = 8, base = 0.5, linger = 60, random = Math.random, fetch } = host;
  const { state } = store;
  /** @type {OperationRecord[]} oldest first */
  let records = [];
  /** @type {Map<string, Kind<any>>} */
  const kinds = new Map();
  let memory = createMemory(null, '');
  let view = state;

  /** Whether this version of the value is still to come. @param {[name: string, version: number]} expected */
  const isAhead = ([name, version]) => (state.values.get(name)?.version ?? 0) < version;

  /** Settle, drop, fold and notify, in one step. @param {boolean} [replaced] */
  function commit(replaced = false) {
    const position = parseCursor(store.cursor());
    for (const record of records) {
      if (!record.over) settle(record, state, position, replaced);
      if (!isOpen(record)) memory.drop(record.id);
    }
    show(records.filter(({ over, expected }) => !over || [...expected].some(isAhead)));
  }

  /** @param {OperationRecord[]} left  The operations still to be folded over the base. */
  function show(left) {
    const told = records;
    records = left;
    view = fold(state, records);
    announce(host.listeners, undefined);
    for (const { progress, next } of told) progress.set(next);
  }

  /**
   * After its end, its effect on values stays in the fold until the version that holds it has come, or for a while:
   * values and sagas come from different feeds. A compensated operation made that version, too, and its undo made the
   * next one; a refused one made none, so its versions are free for later operations.
   * @param {OperationRecord} record
   */
  function onEnd(record) {
    const { expected, next } = record;
    if (next.phase === 'confirmed' || next.phase === 'compensated') {
      // Nothing else shows that the effect of a plain command is there.
      later(next.sagaId ? linger / 30 : linger, () => {
        expected.clear();
        commit();
      });
      return;
    }
    if (next.phase === 'rejected')
      // A version that has come already was another person's, and this effect comes after it.
      for (const [name, version] of [...expected].filter(isAhead))
        for (const { expected: others } of records) {
          const other = others.get(name) ?? 0;
          if (other > version) others.set(name, other - 1);
        }
    expected.clear();
  }

  /** An answered operation whose event does not come: once the journal is followed, the journal decides. @param {OperationRecord} record */
  function watchFor(record) {
    later(linger, () => {
      if (record.shown) return;
      if (!host.isLive()) return watchFor(record);
      if (state.sagas.has(record.next.sagaId ?? '')) record.shown = true;
      else record.finish('unknown', null);
      commit();
    });
  }

  /** @param {OperationRecord} record @param {boolean} first  Whether no earlier attempt can have reached the server. */
  async function ask(record, first) {
    const { id: key, request } = record;
    const backoff = createBackoff(random, 10);
    record.ring = backoff.ring;
    for (let left = attempts; isOpen(record); first = false) {
      const answer = await attemptOnce({ key, request, first, timeout, fetch });
      if (!isOpen(record)) return; // the journal was first, and it decides
      if (answer.kind === 'accepted') {
        const { saga, cursor } = answer;
        record.answered = saga?.version ?? Infinity;
        record.cursor = parseCursor(cursor);
        record.take(saga?.id);
        if (saga) watchFor(record);
        else record.finish('confirmed', null); // a plain command: no event follows
        return commit();
      }
      const { kind, problem } = answer;
      if (kind !== 'again' || (left -= 1) < 1) {
        const refused = kind === 'rejected';
        record.finish(refused ? kind : 'unknown', problem.code, problem, !refused);
        return commit();
      }
      record.move({ phase: 'unknown', problem });
      commit();
      await backoff.wait(problem.retryAfter, base);
    }
  }

  /**
   * @param {Definition} definition
   * @param {string} [id]  The id of a mutation from before a reload.
   * @param {string} [at]
   * @returns {Operation}
   */
  function begin(definition, id, at = new Date().toISOString()) {
    if (records.length >= MOST_PENDING) throw new TooManyPending('too many mutations');
    const record = createRecord(
      definition,
      id ?? host.newId?.() ?? crypto.randomUUID(),
      at,
      id ? 'unknown' : 'sending',
      onEnd,
    );
    fold(state, [...records, record], record); // records which versions will hold its effect; exceptions go to the caller
    records = [...records, record];
    commit();
    void ask(record, !id);
    const { progress, accepted, outcome } = record;
    return {
      id: record.id,
      progress,
      accepted,
      outcome,
      retry() {
        if (!record.next.gaveUp) return record.ring();
        record.move({ gaveUp: false });
        commit();
        void ask(record, false);
      },
      dismiss() {
        record.finish('unknown', 'dismissed');
        commit();
      },
    };
  }

  /** Send again now: the network or the journal is back. */
  function wake() {
    for (const { ring } of records) ring();
  }

  return {
    view: () => view,
    /** The store has changed. @param {boolean} [replaced]  By a snapshot or reset. */
    advanced: commit,
    wake,
    /** @param {Definition} definition @returns {Operation} */
    mutate: (definition) => begin(definition),
    /**
     * Name a mutation, so that one with an unknown outcome survives a reload.
     * @template I
     * @param {string} name
     * @param {Kind<I>} kind
     * @returns {(input: I) => Operation}
     */
    define(name, kind) {
      kinds.set(name, kind);
      return (input) => {
        const { keep } = memory; // of this person, even if another one is signed in when the request has started
        const operation = begin(bind(kind, input));
        keep({ id: operation.id, kind: name, input, at: new Date().toISOString() });
        return operation;
      };
    },
    /** A person is signed in: resume their mutations from before a reload. @param {string} owner @returns {Operation[]} */
    restore(owner) {
      memory = createMemory(host.storage, owner);
      /** @type {Operation[]} */
      const restored = [];
      for (const { id, kind: name, input, at } of memory.entries()) {
        const kind = kinds.get(name);
        if (kind && !records.some((record) => record.id === id))
          sheltered(() => restored.push(begin(bind(kind, input), id, at)));
      }
      return restored;
    },
    /** No person is signed in any more. What is stored for a reload stays for the same person. */
    clear() {
      memory = createMemory(null, '');
      for (const record of records) record.finish('unknown', 'stopped');
      wake();
      show([]);
    },
  };
}

/**
 * @template I
 * @param {Kind<I>} kind
 * @param {I} input
 * @returns {Definition}
 */
const bind = (kind, input) => ({ ...kind, request: kind.request(input), input });
