/**
 * Optimistic mutations. A mutation is shown at once, is sent under its own id until its outcome is known, and is settled by
 * the journal or by its answer, whichever comes first. `step` of operation.js decides every transition; this module carries
 * out the effects. For every listener the change of the base and the end of the operation are one step. It refuses more
 * than `MOST_PENDING` unanswered mutations at a time.
 */
import { pause } from './backoff.js';
import { parseCursor } from './cursor.js';
import { sheltered } from './faults.js';
import { announce, createCell, enlist } from './observable.js';
import { createOperation, isPending, isUnanswered, progressOf, step } from './operation.js';
import { newId } from './ids.js';
import { createMemory } from './pending.js';
import { attemptOnce, serialize } from './send.js';
import { fold } from './view.js';

/** @typedef {import('./operation.js').Definition} Definition */
/** @typedef {import('./operation.js').Operation} Operation */
/** @typedef {import('./operation.js').OperationEvent} OperationEvent */

/**
 * A mutation that can be sent again after a reload, because it is made from its input alone.
 * @template I
 * @typedef {object} Kind
 * @property {(input: I) => import('./send.js').RequestData} request
 * @property {(draft: import('./view.js').Draft, input: I) => void} apply
 * @property {(state: import('./store.js').State, input: I) => boolean} [settledWhen]  See `Definition.settledWhen`.
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
 * @property {Monitor} [monitor]  Begins the trace of each mutation and measures it; rum.js has one.
 */

/**
 * What begins the trace of a mutation and measures it.
 * @typedef {object} Monitor
 * @property {(id: string) => string | undefined} traceparent  The header of every attempt to send this mutation; none where the
 *   gateway decides about the trace.
 * @property {(operation: Operation, request: import('./send.js').RequestData) => void} begin  A mutation has begun, and the
 *   listeners of the view were notified. It is not called for one that a reload interrupted.
 */

/** Limit of mutations without an outcome. */
export const MOST_PENDING = 50;
/** Limit that includes accepted mutations whose saga has not ended: as many as the store keeps sagas. */
const MOST_FOLLOWED = 1000;

export class TooManyPending extends RangeError {}

/** Seconds; the longest pause between two attempts that nobody asked for. */
const LONGEST_PAUSE = 10;

/**
 * A pending operation: its state, its promises and its timers.
 * @typedef {object} Entry
 * @property {import('./operation.js').OperationState} operation
 * @property {import('./observable.js').Readable<import('./operation.js').Progress> & {set: (progress: import('./operation.js').Progress) => void}} progress
 * @property {Map<import('./operation.js').Timer, ReturnType<typeof setTimeout>>} timers  Cleared when it is dropped.
 * @property {ReturnType<typeof serialize>} request
 * @property {Operation} handle
 * @property {(acceptance: import('./operation.js').Acceptance) => void} accept
 * @property {(outcome: import('./operation.js').Outcome) => void} conclude
 * @property {(outcome: import('./operation.js').Outcome) => void} settle
 */

/** @typedef {{operation: Operation, outcome: import('./operation.js').Outcome}} Settlement */

/** @param {Host} host */
export function createMutations(host) {
  const { store, timeout = 15, attempts = 8, base = 0.5, linger = 60, random = Math.random } = host;
  const { fetch, monitor } = host;
  const { state } = store;
  /** @type {Entry[]} oldest first */
  let entries = [];
  /** @type {{entry: Entry, effect: import('./operation.js').Effect}[]} carried out after the listeners were notified */
  const effects = [];
  /** @type {Map<string, Kind<any>>} */
  const kinds = new Map();
  /** @type {Set<(operation: Operation) => void>} */
  const restoredListeners = new Set();
  /** @type {Set<(settlement: Settlement) => void>} */
  const settledListeners = new Set();
  let memory = createMemory(null, '');
  let view = state;

  /** @param {Entry} entry @param {OperationEvent} event */
  function dispatch(entry, event) {
    const next = step(entry.operation, event);
    entry.operation = next.operation;
    for (const effect of next.effects) effects.push({ entry, effect });
  }

  /** An event of one operation. @param {Entry} entry @param {OperationEvent} event */
  function advance(entry, event) {
    dispatch(entry, event);
    commit();
  }

  /** Settle, drop, fold and notify, in one step. @param {boolean} [replaced]  The state, by a snapshot or reset. */
  function commit(replaced = false) {
    const position = parseCursor(store.cursor());
    for (const entry of entries) {
      dispatch(entry, { type: replaced ? 'snapshot' : 'stream', state, position });
      if (!isUnanswered(entry.operation)) memory.drop(entry.operation.id);
    }
    show(entries.filter(({ operation }) => isPending(operation)));
  }

  /** @param {Entry[]} left  The operations still to be folded over the base. */
  function show(left) {
    const before = entries;
    entries = left;
    view = fold(
      state,
      entries.map(({ operation }) => operation),
    );
    announce(host.listeners, undefined);
    // Listeners must not receive progress before the matching view.
    for (const { progress, operation } of before) progress.set(progressOf(operation));
    for (let next; (next = effects.shift());) run(next.entry, next.effect);
    for (const { operation, timers } of before)
      if (!isPending(operation)) for (const timer of timers.values()) clearTimeout(timer);
  }

  /** @param {Entry} entry @param {import('./operation.js').Effect} effect */
  function run(entry, effect) {
    if (effect.type === 'send') void send(entry, effect.first);
    else if (effect.type === 'accept') entry.accept(effect.acceptance);
    else if (effect.type === 'wait') wait(entry, effect);
    else {
      const { outcome } = effect;
      entry.accept({ ...outcome, kind: /** @type {any} or it was accepted before */ (outcome.kind) });
      entry.conclude(outcome);
      if (!effect.final) return;
      entry.settle(outcome);
      announce(settledListeners, { operation: entry.handle, outcome });
    }
  }

  /** @param {Entry} entry @param {import('./operation.js').Effect & {type: 'wait'}} effect */
  function wait(entry, effect) {
    const { timer } = effect;
    const seconds =
      timer === 'retry'
        ? pause({ failures: effect.failures, asked: effect.retryAfter, base, cap: LONGEST_PAUSE }, random) /
          1000
        : // Nothing else shows that the effect of a plain command is there.
          timer === 'values' && entry.operation.sagaId
          ? linger / 30
          : linger;
    clearTimeout(entry.timers.get(timer));
    const started = setTimeout(() => {
      entry.timers.delete(timer);
      advance(entry, { type: 'timer', timer, live: host.isLive(), state });
    }, seconds * 1000);
    entry.timers.set(timer, started);
    // A number in browsers, an object in Node: the pause before an attempt keeps the process running, the other waits do not.
    if (timer !== 'retry') /** @type {any} */ (started).unref?.();
  }

  /** @param {Entry} entry @param {boolean} first */
  async function send(entry, first) {
    const { request, operation } = entry;
    clearTimeout(entry.timers.get('retry'));
    const traceparent = monitor?.traceparent(operation.id);
    const answer = await attemptOnce({ key: operation.id, request, first, timeout, fetch, traceparent });
    advance(entry, { type: 'answer', answer, attempts });
  }

  /**
   * @param {Definition} definition
   * @param {string} [id]  The id of a mutation from before a reload.
   * @param {string} [at]
   * @param {boolean} [first]  Whether no earlier attempt can have reached the server.
   * @returns {Operation}
   */
  function begin(definition, id, at = new Date().toISOString(), first = !id) {
    const unanswered = entries.filter((entry) => isUnanswered(entry.operation)).length;
    if (unanswered >= MOST_PENDING || entries.length >= MOST_FOLLOWED)
      throw new TooManyPending('too many mutations');
    const operation = createOperation(guarded(definition), id ?? (host.newId ?? newId)(), at, !first);
    /** @type {Map<string, number>} */
    const awaited = new Map();
    // Its exceptions go to the caller.
    fold(state, [...entries.map((entry) => entry.operation), operation], awaited);
    const entry = createEntry({ ...operation, awaited }, advance);
    entries = [...entries, entry];
    effects.push({ entry, effect: { type: 'send', first } });
    commit();
    if (!id) sheltered(() => monitor?.begin(entry.handle, definition.request));
    return entry.handle;
  }

  /** Send again now: the network or the journal is back. */
  function wake() {
    for (const entry of [...entries])
      if (entry.operation.status === 'waiting')
        advance(entry, { type: 'timer', timer: 'retry', live: host.isLive(), state });
  }

  /**
   * Resume the mutations that a reload interrupted.
   * @param {string} [only]  The name of the only kind to resume; default all kinds.
   * @returns {Operation[]}
   */
  function restore(only) {
    /** @type {Operation[]} */
    const restored = [];
    for (const { id, kind: name, input, at, unsent } of [...memory.entries()]) {
      const kind = kinds.get(name);
      const known = entries.some(({ operation }) => operation.id === id);
      if (kind && !known && name === (only ?? name)) {
        // Once: from now on it may have been sent.
        if (unsent) memory.keep({ id, kind: name, input, at });
        sheltered(() => restored.push(begin(bind(name, kind, input), id, at, unsent)));
      }
    }
    for (const operation of restored) announce(restoredListeners, operation);
    return restored;
  }

  return {
    view: () => view,
    /**
     * Be notified of each operation that is resumed after a reload: at `start`, or when its kind is defined later.
     * @param {(operation: Operation) => void} listener
     * @returns {() => void} Ends the subscription.
     */
    onRestored: (listener) => enlist(restoredListeners, listener),
    /** The store has changed. @param {boolean} [replaced]  By a snapshot or reset. */
    advanced: commit,
    wake,
    /** @param {Definition} definition @returns {Operation} */
    mutate: (definition) => begin(definition),
    /**
     * The operation with this id, until it has ended and changes nothing that is shown.
     * @param {string} id
     * @returns {Operation | undefined}
     */
    operation: (id) => entries.find((entry) => entry.operation.id === id)?.handle,
    /**
     * Be notified of the end of each operation, resumed ones included.
     * @param {(settlement: Settlement) => void} listener
     * @returns {() => void} Ends the subscription.
     */
    onSettled: (listener) => enlist(settledListeners, listener),
    /**
     * Name a mutation, so that one with an unknown outcome survives a reload.
     * @template I
     * @param {string} name
     * @param {Kind<I>} kind
     * @returns {(input: I) => Operation}
     */
    define(name, kind) {
      kinds.set(name, kind);
      restore(name);
      return (input) => {
        const { keep } = memory; // of this person, even if another one is signed in when the request has started
        const operation = begin(bind(name, kind, input));
        keep({ id: operation.id, kind: name, input, at: new Date().toISOString() });
        return operation;
      };
    },
    /**
     * Send a refused mutation once more, with the same id, after the next reload. The gateway must have refused it before
     * anything was done, as with "step-up-required".
     * @param {Operation} operation
     * @returns {boolean} false for one that was not made by a function of `define`: only such a one survives a reload.
     */
    takeUpLater({ id, name, input }) {
      if (name === null || !kinds.has(name)) return false;
      memory.keep({ id, kind: name, input, at: new Date().toISOString(), unsent: true });
      return true;
    },
    /** A person is signed in: resume their mutations from before a reload. @param {string} userId @returns {Operation[]} */
    restore(userId) {
      memory = createMemory(host.storage, userId);
      return restore();
    },
    /** No person is signed in any more. What is stored for a reload stays for the same person. */
    clear() {
      memory = createMemory(null, '');
      for (const entry of entries) dispatch(entry, { type: 'stop' });
      show([]);
    },
  };
}

/**
 * @param {import('./operation.js').OperationState} operation
 * @param {(entry: Entry, event: OperationEvent) => void} advance
 * @returns {Entry}
 */
function createEntry(operation, advance) {
  /** @type {Entry['accept']} */
  let accept = () => {};
  /** @type {Entry['conclude']} */
  let conclude = () => {};
  const accepted = new Promise((/** @type {Entry['accept']} */ resolve) => (accept = resolve));
  const outcome = new Promise((/** @type {Entry['conclude']} */ resolve) => (conclude = resolve));
  /** @type {Entry['settle']} */
  let settle = () => {};
  const settled = new Promise((/** @type {Entry['settle']} */ resolve) => (settle = resolve));
  const progress = createCell(progressOf(operation));
  /** @type {Entry} */
  const entry = {
    operation,
    progress,
    timers: new Map(),
    request: serialize(operation.definition.request),
    accept,
    conclude,
    settle,
    handle: {
      id: operation.id,
      name: operation.definition.name ?? null,
      input: operation.definition.input,
      progress,
      accepted,
      outcome,
      settled,
      retry: () => advance(entry, { type: 'retry' }),
      dismiss: () => advance(entry, { type: 'dismiss' }),
    },
  };
  return entry;
}

/** An exception of `settledWhen` must not stop the other operations. @param {Definition} definition @returns {Definition} */
const guarded = ({ settledWhen, ...definition }) => ({
  ...definition,
  settledWhen:
    settledWhen &&
    ((state, input) => {
      let settled = true;
      sheltered(() => (settled = settledWhen(state, input)));
      return settled;
    }),
});

/**
 * @template I
 * @param {string} name
 * @param {Kind<I>} kind
 * @param {I} input
 * @returns {Definition}
 */
const bind = (name, kind, input) => ({ ...kind, name, request: kind.request(input), input });
