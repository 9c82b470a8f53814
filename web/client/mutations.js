/**
 * Optimistic mutations. A mutation shows at once, is asked for under its own id until somebody knows its fate, and is
 * settled by the journal or by its answer, whichever comes first. It promises that the base advancing and the operation
 * giving way are one step for every listener, and refuses more than `MOST_PENDING` at a time.
 */
import { createAlarm, fullJitter } from './backoff.js';
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
 * @property {() => void} changed   The view changed: tell its listeners, now.
 * @property {() => boolean} isLive  Whether the journal is being followed.
 * @property {typeof fetch} fetch
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
function later(seconds, then) {
  /** @type {any} a number in browsers, an object in Node, where it must not keep the process alive */
  const timer = setTimeout(then, seconds * 1000);
  timer?.unref?.();
}

/** @param {Host} host */
export function createMutations(host) {
  const { store, timeout = 15, attempts = 8, base = 0.5, linger = 60, random = Math.random } = host;
  const newId = host.newId ?? (() => crypto.randomUUID());
  /** @type {OperationRecord[]} oldest first */
  let records = [];
  /** @type {Map<string, Kind<any>>} */
  const kinds = new Map();
  /** @type {Map<OperationRecord, ReturnType<typeof createAlarm>>} the ones being asked for */
  const asking = new Map();
  let memory = createMemory(null, '');
  let view = store.state();

  /** Settle, drop, fold and tell, in one step. @param {boolean} [replaced] */
  function commit(replaced = false) {
    const state = store.state();
    for (const record of records) {
      const wasOver = record.over;
      settle(record, state, store.position(), replaced);
      if (record.kept && (record.known || record.over)) {
        record.kept = false;
        memory.drop(record.id);
      }
      if (record.over && !wasOver && record.expected.size > 0) later(linger / 30, () => release(record));
    }
    for (const [at, record] of records.entries()) {
      for (const [name, version] of record.freed ?? []) {
        // A version that is there already was somebody else's, and theirs came on top.
        if ((state.values.get(name)?.version ?? 0) >= version) continue;
        for (const later_ of records.slice(at + 1)) {
          const expected = later_.expected.get(name);
          if (expected !== undefined && expected > version) later_.expected.set(name, expected - 1);
        }
      }
      record.freed = null;
    }
    const told = records;
    records = records.filter((record) => !record.over || holdsValue(record, state));
    view = fold(state, records);
    host.changed();
    for (const record of told) record.announce();
  }

  /** @param {OperationRecord} record @param {import('./store.js').State} state */
  function holdsValue(record, state) {
    for (const [name, version] of record.expected)
      if ((state.values.get(name)?.version ?? 0) < version) return true;
    return false;
  }

  /** @param {OperationRecord} record */
  function release(record) {
    record.expected.clear();
    commit();
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
    const alarm = createAlarm();
    asking.set(record, alarm);
    try {
      for (let attempt = 0; ; attempt += 1) {
        const answer = await attemptOnce({
          key: record.id,
          request: record.request,
          first: first && attempt === 0,
          timeout,
          fetch: host.fetch,
        });
        if (!records.includes(record)) return;
        if (answer.kind === 'accepted') {
          record.answer(answer);
          if (!record.over) watchFor(record);
          return commit();
        }
        if (record.known || record.over) return; // the journal spoke first, and it is right
        if (answer.kind === 'rejected') {
          record.finish('rejected', answer.problem.code, answer.problem);
          return commit();
        }
        if (!answer.again || attempt + 1 >= attempts) {
          record.giveUp(answer.problem);
          return commit();
        }
        record.move({ phase: 'unknown', problem: answer.problem });
        commit();
        const asked = Math.min(answer.problem.retryAfter ?? 0, 60);
        await alarm.wait(Math.max(asked, fullJitter(attempt, base, 10, random)));
        if (!open(record)) return;
      }
    } finally {
      asking.delete(record);
    }
  }

  /** @param {OperationRecord} record @returns {Operation} */
  function handle(record) {
    return {
      id: record.id,
      progress: record.progress,
      accepted: record.accepted,
      outcome: record.outcome,
      retry() {
        if (!open(record)) return;
        const alarm = asking.get(record);
        if (alarm) return alarm.ring();
        record.move({ phase: 'unknown', gaveUp: false });
        commit();
        void ask(record, false);
      },
      dismiss() {
        memory.drop(record.id);
        record.finish('unknown', 'dismissed');
        commit();
      },
    };
  }

  /** @param {Definition} definition */
  const create = (definition) => createRecord(definition, newId(), new Date().toISOString());

  /** @param {OperationRecord} record @param {boolean} first */
  function begin(record, first) {
    if (records.length >= MOST_PENDING) throw new TooManyPending();
    record.claiming = first;
    try {
      fold(store.state(), [...records, record]); // notes which versions will hold its effect; its errors are the caller's
    } finally {
      record.claiming = false;
    }
    records = [...records, record];
    commit();
    void ask(record, first);
    return handle(record);
  }

  return {
    view: () => view,
    /** The store has changed. @param {boolean} replaced  By a snapshot or reset. */
    advanced: commit,
    /** Ask again now: the network or the journal is back. */
    wake() {
      for (const alarm of asking.values()) alarm.ring();
    },
    /** @param {Definition} definition @returns {Operation} */
    mutate: (definition) => begin(create(definition), true),
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
        const record = create(bind(kind, input));
        memory.keep({ id: record.id, kind: name, input, at: record.at });
        record.kept = true;
        try {
          return begin(record, true);
        } catch (error) {
          memory.drop(record.id);
          throw error;
        }
      };
    },
    /** Somebody is here: take up what they had under way before a reload. @param {string} owner @returns {Operation[]} */
    restore(owner) {
      memory = createMemory(host.storage, owner);
      const restored = [];
      for (const entry of memory.read()) {
        const kind = kinds.get(entry.kind);
        if (!kind || records.some((record) => record.id === entry.id)) continue;
        const record = createRecord(bind(kind, entry.input), entry.id, entry.at, 'unknown');
        record.kept = true;
        restored.push(begin(record, false));
      }
      return restored;
    },
    /** Nobody is here any more. What was kept for a reload stays kept for the same person. */
    clear() {
      for (const record of records) record.finish('unknown', 'stopped');
      for (const alarm of asking.values()) alarm.ring();
      const told = records;
      records = [];
      memory = createMemory(null, '');
      view = store.state();
      host.changed();
      for (const record of told) record.announce();
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
