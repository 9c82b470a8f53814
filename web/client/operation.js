/**
 * The state of one mutation, and the pure steps that an answer, the journal and a snapshot make on it. Every promise
 * of it settles and none rejects: a failure is part of the outcome.
 */
import { reached } from './cursor.js';
import { createCell } from './observable.js';
import { ended, findByMutation, OUTCOMES } from './store.js';

/** @typedef {import('./store.js').Saga} Saga */
/** @typedef {import('./store.js').State} State */
/** @typedef {import('./problem.js').Problem} Problem */

/**
 * sending: sent, no answer yet. unknown: no answer came, it is sent again. accepted: the server has it. confirmed:
 * completed. compensated: undone after a refusal, see `reason`. rejected: refused, nothing was done.
 * @typedef {'sending' | 'unknown' | 'accepted' | 'confirmed' | 'compensated' | 'rejected'} Phase
 */

/**
 * @typedef {object} Progress
 * @property {Phase} phase
 * @property {string | null} sagaId
 * @property {string | null} reason  The saga's reason, or the problem's code.
 * @property {Problem | null} problem
 * @property {boolean} gaveUp  Unknown, and no longer sent automatically; `retry()` sends it again.
 */

/** @typedef {{kind: 'accepted' | 'rejected' | 'unknown', sagaId: string | null, problem: Problem | null}} Acceptance */
/** @typedef {{kind: 'confirmed' | 'compensated' | 'rejected' | 'unknown', sagaId: string | null, reason: string | null, problem: Problem | null}} Outcome */

/**
 * What `mutate` returns to its caller.
 * @typedef {object} Operation
 * @property {string} id  Also its Idempotency-Key and the `mutation` that events echo.
 * @property {import('./observable.js').Readable<Progress>} progress
 * @property {Promise<Acceptance>} accepted  Settles when the server is known to have it, or has refused it, or the attempts have ended.
 * @property {Promise<Outcome>} outcome      Settles when nothing more will happen.
 * @property {() => void} retry    Send again now, with the same key.
 * @property {() => void} dismiss  Stop showing it. It is not cancelled: the server may have it.
 */

/**
 * @typedef {object} Definition
 * @property {(draft: import('./view.js').Draft, input: any) => void} apply
 * @property {import('./send.js').RequestData} request
 * @property {any} [input]  Passed to `apply` and `until`.
 * @property {((state: State, input: any) => boolean) | undefined} [until]  Keep the row until this is true for the server's state, for a mutation
 *   whose effect comes only with a later event than the one its answer names.
 */

/**
 * @param {Definition} definition
 * @param {string} id
 * @param {string} at  RFC 3339.
 * @param {'sending' | 'unknown'} phase  unknown: resumed after a reload.
 * @param {(record: any) => void} onEnd  Called once, when nothing more will happen to it.
 */
export function createRecord(definition, id, at, phase, onEnd) {
  /** @type {(acceptance: Acceptance) => void} */
  let accept = () => {};
  /** @type {(outcome: Outcome) => void} */
  let conclude = () => {};
  /** @type {Progress} */
  const initial = { phase, sagaId: null, reason: null, problem: null, gaveUp: false };

  const record = {
    ...definition,
    id,
    at,
    /** Whether the base has its row, or no row must be shown any more. */
    shown: false,
    /** @type {Map<string, number>} */
    expected: new Map(),
    /** The version of its saga in the answer. */
    answered: Infinity,
    /** @type {import('./cursor.js').Cursor | null} */
    cursor: null,
    /** Whether an event with its id was received, even if later events of that saga have another id. */
    echoed: false,
    over: false,
    /** Ends the wait between two attempts. */
    ring: () => {},
    progress: createCell(initial),
    /** Progress not announced yet: listeners must not receive it before the matching view. */
    next: initial,
    /** @type {Promise<Acceptance>} */
    accepted: new Promise((resolve) => (accept = resolve)),
    /** @type {Promise<Outcome>} */
    outcome: new Promise((resolve) => (conclude = resolve)),

    /** @param {Partial<Progress>} change */
    move(change) {
      record.next = { ...record.next, ...change };
    },

    /**
     * The server is known to have it: what happens to the request no longer matters.
     * @param {string | undefined} [id]
     */
    take(id) {
      const sagaId = id ?? record.next.sagaId;
      record.next = { ...initial, phase: 'accepted', sagaId };
      accept({ kind: 'accepted', sagaId, problem: null });
    },

    /**
     * Settle the promises, and end the operation, unless only the attempts end: then the journal may still settle it.
     * @param {Outcome['kind']} kind
     * @param {string | null} reason
     * @param {Problem | null} [problem]
     * @param {boolean} [gaveUp]
     */
    finish(kind, reason, problem = null, gaveUp = false) {
      if (record.over) return;
      record.move({ phase: kind, reason, problem, gaveUp });
      const { sagaId } = record.next;
      const outcome = { kind: /** @type {any} or it was accepted before */ (kind), sagaId, reason, problem };
      accept(outcome);
      conclude(outcome);
      if (gaveUp) return;
      record.over = record.shown = true;
      onEnd(record);
    },
  };
  return record;
}

/** @typedef {ReturnType<typeof createRecord>} OperationRecord */

/** Whether its outcome is unknown. @param {OperationRecord} record */
export const isOpen = ({ over, next }) => !over && next.phase !== 'accepted';

/**
 * Apply what the server's state says about an operation that has not ended.
 * @param {OperationRecord} record
 * @param {State} base
 * @param {import('./cursor.js').Cursor | null} position
 * @param {boolean} replaced  The state was just replaced by a snapshot or reset.
 */
export function settle(record, base, position, replaced) {
  const { id, answered, cursor, until, input } = record;
  const taken = base.sagas.get(record.next.sagaId ?? '');
  const saga = taken?.mutation === id ? taken : (findByMutation(base.sagas, id) ?? taken);
  if (saga?.mutation === id && !record.echoed) {
    record.echoed = true;
    record.take(saga.id);
  }

  const told = saga && (record.echoed || saga.version >= answered);
  // After a reset in another epoch the answer's position does not count; the new state is newer.
  const superseded = replaced && cursor && cursor.epoch !== position?.epoch;
  if (told || superseded || reached(position, cursor))
    record.shown ||= !until || !saga || ended(saga) || until(base, input);
  if (told && ended(saga))
    record.finish(OUTCOMES[/** @type {keyof typeof OUTCOMES} */ (saga.status)], saga.reason);
  else if (replaced && record.echoed && !saga) record.finish('unknown', null); // too long ago
}
