/**
 * One mutation's life as a value and pure steps over it: what an answer, the journal and the passing of a snapshot do to
 * it. Every promise it gives settles, none rejects: what went wrong is part of the outcome.
 */
import { parseCursor, reached } from './cursor.js';
import { createCell } from './observable.js';
import { ended, OUTCOMES } from './store.js';

/** @typedef {import('./store.js').Saga} Saga */
/** @typedef {import('./store.js').State} State */
/** @typedef {import('./problem.js').Problem} Problem */
/** @typedef {import('./send.js').SagaRef} SagaRef */

/**
 * sending: asked, no word yet. unknown: no word came, it is being asked again. accepted: the server has it.
 * confirmed: completed. compensated: undone after a refusal, see `reason`. rejected: refused, nothing was done.
 * @typedef {'sending' | 'unknown' | 'accepted' | 'confirmed' | 'compensated' | 'rejected'} Phase
 */

/**
 * @typedef {object} Progress
 * @property {Phase} phase
 * @property {string | null} sagaId
 * @property {string | null} reason  The saga's reason, or the problem's code.
 * @property {Problem | null} problem
 * @property {boolean} gaveUp  Unknown, and no longer asked by itself; `retry()` asks again.
 */

/** @typedef {{kind: 'accepted' | 'rejected' | 'unknown', sagaId: string | null, problem: Problem | null}} Acceptance */
/** @typedef {{kind: 'confirmed' | 'compensated' | 'rejected' | 'unknown', sagaId: string | null, reason: string | null, problem: Problem | null}} Outcome */

/**
 * What the caller of `mutate` holds.
 * @typedef {object} Operation
 * @property {string} id  Also its Idempotency-Key and the `mutation` that events echo.
 * @property {import('./observable.js').Readable<Progress>} progress
 * @property {Promise<Acceptance>} accepted  When the server is known to have it, or to have refused it, or we gave up asking.
 * @property {Promise<Outcome>} outcome      When nothing more will happen.
 * @property {() => void} retry    Ask again now, with the same key.
 * @property {() => void} dismiss  Stop showing it. It is not cancelled: the server may have it.
 */

/**
 * @typedef {object} Definition
 * @property {(draft: import('./view.js').Draft) => void} apply
 * @property {import('./send.js').RequestData | import('./send.js').RequestFunction} request
 * @property {((state: State) => boolean) | undefined} [until]  Keep the row until this holds of the server's state, for a mutation whose
 *   effect shows only in a later event than the one its answer names.
 */

/**
 * @param {Definition} definition
 * @param {string} id
 * @param {string} at  RFC 3339.
 * @param {'sending' | 'unknown'} [pending]  unknown: taken up after a reload.
 */
export function createRecord(definition, id, at, pending = 'sending') {
  /** @type {(acceptance: Acceptance) => void} */
  let accept = () => {};
  /** @type {(outcome: Outcome) => void} */
  let conclude = () => {};
  /** @type {Promise<Acceptance>} */
  const accepted = new Promise((resolve) => (accept = resolve));
  /** @type {Promise<Outcome>} */
  const outcome = new Promise((resolve) => (conclude = resolve));
  /** @type {Progress} */
  const initial = {
    phase: pending,
    sagaId: null,
    reason: null,
    problem: null,
    gaveUp: false,
  };
  const progress = createCell(initial);

  const record = {
    id,
    at,
    ...definition,
    shown: false,
    /** @type {string | null} */
    sagaId: null,
    pending: /** @type {'sending' | 'accepted' | 'unknown'} */ (pending),
    /** @type {Map<string, number>} */
    expected: new Map(),
    claiming: false,
    /** @type {Map<string, number> | null} versions it will not make after all */
    freed: null,
    /** @type {SagaRef | null} */
    answered: null,
    /** @type {import('./cursor.js').Cursor | null} */
    cursor: null,
    /** Whether the server is known to have it: nothing that happens to the request matters any more. */
    known: false,
    /** Whether an event that echoed its id was seen, even if later events of that saga echo another's. */
    echoed: false,
    /** Whether a reload would find it in the memory. */
    kept: false,
    over: false,
    progress,
    /** Progress not told yet: listeners must not see it before the view that belongs to it. */
    next: initial,
    /** Say what changed, after the view has. */
    announce() {
      progress.set(record.next);
    },
    accepted,
    outcome,

    /** @param {Partial<Progress>} change */
    move(change) {
      record.next = { ...record.next, sagaId: record.sagaId, ...change };
      const { phase } = record.next;
      if (phase === 'sending' || phase === 'unknown') record.pending = phase;
      else record.pending = 'accepted';
    },

    /** @param {string | null} sagaId */
    take(sagaId) {
      record.sagaId = sagaId ?? record.sagaId;
      record.known = true;
      if (!record.over) record.move({ phase: 'accepted', problem: null, gaveUp: false });
      accept({ kind: 'accepted', sagaId: record.sagaId, problem: null });
    },

    /**
     * @param {Outcome['kind']} kind
     * @param {string | null} reason
     * @param {Problem | null} [problem]
     */
    finish(kind, reason, problem = null) {
      if (record.over) return;
      record.over = true;
      record.move({ phase: kind, reason, problem });
      const acceptance = record.known ? 'accepted' : kind === 'rejected' ? 'rejected' : 'unknown';
      accept({ kind: acceptance, sagaId: record.sagaId, problem });
      conclude({ kind, sagaId: record.sagaId, reason, problem });
      // What was refused never makes the versions it was expected to: they are free for the operations after it.
      if (kind === 'rejected') record.freed = new Map(record.expected);
      // A completed saga's effect on a value may still be on its way; an undone one's must not linger.
      if (kind !== 'confirmed') record.expected.clear();
      if (kind !== 'unknown') record.shown = true;
    },

    /** Nobody could tell; the promises say so. The journal may still settle it. @param {Problem} problem */
    giveUp(problem) {
      record.move({ phase: 'unknown', problem, gaveUp: true });
      accept({ kind: 'unknown', sagaId: null, problem });
      conclude({ kind: 'unknown', sagaId: null, reason: problem.code, problem });
    },

    /** @param {import('./send.js').Answer & {kind: 'accepted'}} answer */
    answer(answer) {
      record.answered = answer.saga;
      record.cursor = parseCursor(answer.cursor);
      record.take(answer.saga?.id ?? null);
      if (answer.saga === null) record.finish('confirmed', null); // a plain command: nothing follows
    },
  };
  return record;
}

/** @typedef {ReturnType<typeof createRecord>} OperationRecord */

/**
 * Let the server's state say what it knows of an operation.
 * @param {OperationRecord} record
 * @param {State} base
 * @param {import('./cursor.js').Cursor | null} position
 * @param {boolean} replaced  The state was just replaced by a snapshot or reset.
 */
export function settle(record, base, position, replaced) {
  let saga = record.sagaId === null ? undefined : base.sagas.get(record.sagaId);
  if (!saga || saga.mutation !== record.id) {
    for (const candidate of base.sagas.values()) if (candidate.mutation === record.id) saga = candidate;
  }
  if (saga?.mutation === record.id) record.echoed = true;
  const own = saga !== undefined && record.echoed;
  if (saga && own && !record.known) record.take(saga.id);

  const current = saga !== undefined && record.answered !== null && saga.version >= record.answered.version;
  // After a reset in another epoch the answer's position means nothing; the new state is the newer word.
  const superseded =
    replaced && record.cursor !== null && position !== null && record.cursor.epoch !== position.epoch;
  let arrived = own || current || superseded || reached(position, record.cursor);
  if (arrived && record.until && saga && !ended(saga)) arrived = record.until(base);
  if (arrived) record.shown = true;

  if (saga && record.known && !record.over) {
    const kind = OUTCOMES[/** @type {keyof typeof OUTCOMES} */ (saga.status)];
    if (kind && (own || current)) record.finish(kind, saga.reason);
    else if (record.next.phase !== 'accepted') record.move({ phase: 'accepted' });
  }
}
