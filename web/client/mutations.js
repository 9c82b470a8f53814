/**
 * Optimistic mutations. A mutation shows at once, is asked for under its own id until somebody knows its fate, and is
 * settled by the journal or by its answer, whichever comes first. It promises that the base advancing and the operation
 * giving way are one step for every listener, and refuses more than `MOST_PENDING` at a time.
 */
import { fullJitter } from './backoff.js';
import { createRecord, settle } from './operation.js';
import { createMemory } from './pending.js';
import { attemptOnce } from './send.js';
import { fold } from './view.js';

/** @typedef {import('./operation.js').Definition} Definition */
/** @typedef {import('./operation.js').Operation} Operation */
/** @typedef {import('./operation.js').OperationRecord} OperationRecord */

/**
 * A mutation that can be sent again after a reload, because it is made of its input alone.
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
 * @property {typeof fetch | undefined} [fetch]
 * @property {import('./pending.js').KeyValue | null} storage
 * @property {number} [timeout]   Seconds for one attempt; default 15.
 * @property {number} [attempts]  Most attempts before giving up asking; default 8.
 * @property {number} [base]      Seconds; first backoff between attempts, default 0.5, cap 10.
 * @property {number} [linger]    Seconds an accepted operation is kept for an event that does not come; default 60. A completed
 *   one waits a thirtieth of it for its values.
 * @property {() => string} [newId]
 * @property {() => number} [random]
 */

export const MOST_PENDING = 50;

export class TooManyPending extends Error {
  constructor() {
    super(`more than ${MOST_PENDING} mutations are unsettled`);
    this.name = 'TooManyPending';
  }
}

/** @param {number} seconds @param {() => void} then */
const later = (seconds, then) =>
  /** @type {any} a number in browsers, an object in Node, where it must not keep the process alive */ (
    setTimeout(then, seconds * 1000)
  ).unref?.();

/** @param {Host} host */
export function createMutations(host) {
  const { store, timeout = 15, attempts = 8, base = 0.5, linger = 60, random = Math.random } = host;
  const { newId = () => crypto.randomUUID() } = host;
  const { state } = store;
  /** @type {OperationRecord[]} oldest first */
  let records = [];
  /** @type {Map<string, Kind<any>>} */
  const kinds = new Map();
  let memory = createMemory(null, '');
  let view = state;

  /** @param {string} name */
  const versionOf = (name) => state.values.get(name)?.version ?? 0;

  /** Settle, drop, fold and tell, in one step. @param {boolean} [replaced] */
  function commit(replaced = false) {
    for (const record of records) {
      settle(record, state, store.position(), replaced);
      if (record.known || record.over) memory.drop(record.id);
      if (record.over && !record.closed) close(record);
    }
    show(
      records.filter(
        ({ over, expected }) => !over || [...expected].some(([name, version]) => versionOf(name) < version),
      ),
    );
  }

  /** @param {OperationRecord[]} left  What is still to be folded over the base. */
  function show(left) {
    const told = records;
    records = left;
    view = fold(state, records);
    for (const listener of [...host.listeners]) listener();
    for (const { progress, next } of told) progress.set(next);
  }

  /** After its end, let go of what it expected of values. @param {OperationRecord} record */
  function close(record) {
    const { expected, next } = record;
    record.closed = true;
    if (next.phase === 'confirmed') {
      const release = () => {
        expected.clear();
        commit();
      };
      // A saga's effect may still be on its way for a while; nothing else tells that a plain command's is there.
      if (next.sagaId !== null && expected.size > 0) later(linger / 30, release);
      return;
    }
    // What was refused never makes the versions it was expected to: they are free for the operations after it.
    if (next.phase === 'rejected')
      for (const [name, version] of expected)
        // A version that is there already was somebody else's, and theirs came on top.
        if (versionOf(name) < version)
          for (const { expected: others } of records) {
            const other = others.get(name) ?? 0;
            if (other > version) others.set(name, other - 1);
          }
    expected.clear(); // what is undone must not linger
  }

  /** An answered operation whose event does not come: once the journal is live, the journal is right. @param {OperationRecord} record */
  function watchFor(record) {
    later(linger, () => {
      if (record.shown || !records.includes(record)) return;
      if (!host.isLive()) return watchFor(record);
      record.shown = true;
      commit();
    });
  }

  /** Whether nobody knows its fate yet. @param {OperationRecord} record */
  const open = (record) => !record.known && !record.over && records.includes(record);

  /** @param {OperationRecord} record @param {boolean} first */
  async function ask(record, first) {
    const { id: key, request } = record;
    for (let attempt = 0; ; attempt += 1) {
      const { fetch } = host;
      const answer = await attemptOnce({ key, request, first: first && attempt === 0, timeout, fetch });
      if (!records.includes(record)) return;
      if (answer.kind === 'accepted') {
        record.answer(answer);
        watchFor(record);
        return commit();
      }
      if (!open(record)) return; // the journal spoke first, and it is right
      const { kind, problem } = answer;
      const over = kind !== 'again' || attempt + 1 >= attempts;
      if (kind === 'rejected') record.finish(kind, problem.code, problem);
      else if (over) record.finish('unknown', problem.code, problem, true);
      else record.move({ phase: 'unknown', problem });
      commit();
      if (over) return;
      const asked = Math.min(problem.retryAfter ?? 0, 60);
      await record.alarm.wait(Math.max(asked, fullJitter(attempt, base, 10, random)));
      if (!open(record)) return;
    }
  }

  /**
   * @param {Definition} definition
   * @param {string} [id]  Of one that was under way before a reload.
   * @param {string} [at]
   * @returns {Operation}
   */
  function begin(definition, id, at = new Date().toISOString()) {
    if (records.length >= MOST_PENDING) throw new TooManyPending();
    const record = createRecord(definition, id ?? newId(), at, id ? 'unknown' : 'sending');
    fold(state, [...records, record], record); // notes which versions will hold its effect; its errors are the caller's
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
        if (!open(record)) return;
        if (!record.next.gaveUp) return record.alarm.ring();
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

  /** Ask again now: the network or the journal is back. */
  function wake() {
    for (const { alarm } of records) alarm.ring();
  }

  return {
    view: () => view,
    /** The store has changed. @param {boolean} [replaced]  By a snapshot or reset. */
    advanced: commit,
    wake,
    /** @param {Definition} definition @returns {Operation} */
    mutate: (definition) => begin(definition),
    /**
     * Name a mutation, so that one whose fate is unknown survives a reload.
     * @template I
     * @param {string} name
     * @param {Kind<I>} kind
     * @returns {(input: I) => Operation}
     */
    define(name, kind) {
      kinds.set(name, kind);
      return (input) => {
        const { keep } = memory; // this person's, whoever is here when it has begun
        const operation = begin(bind(kind, input));
        keep({ id: operation.id, kind: name, input, at: new Date().toISOString() });
        return operation;
      };
    },
    /** Somebody is here: take up what they had under way before a reload. @param {string} owner @returns {Operation[]} */
    restore(owner) {
      memory = createMemory(host.storage, owner);
      const restored = [];
      for (const { id, kind: name, input, at } of memory.entries()) {
        const kind = kinds.get(name);
        if (kind && !records.some((record) => record.id === id))
          restored.push(begin(bind(kind, input), id, at));
      }
      return restored;
    },
    /** Nobody is here any more. What was kept for a reload stays kept for the same person. */
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
function bind(kind, input) {
  const { until } = kind;
  return {
    request: kind.request(input),
    apply: (draft) => kind.apply(draft, input),
    until: until && ((state) => until(state, input)),
  };
}
