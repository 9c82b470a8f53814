/**
 * One mutation as a value, with its pure transitions: `step(operation, event)` returns the next operation and a list of
 * effects, and does nothing itself. docs/reference/client-states.md explains the states and has the table, which a test
 * prints from this function. Every promise of an operation is settled by an effect, and none rejects: a failure is part
 * of the outcome.
 */
import { reached } from './cursor.js';
import { contains, ended, findContaining, OUTCOMES } from './store.js';

/** @typedef {import('./store.js').Saga} Saga */
/** @typedef {import('./store.js').State} State */
/** @typedef {import('./problem.js').Problem} Problem */

/**
 * sending: sent, no answer yet. unknown: no answer came, it is sent again. accepted: the server has it. confirmed:
 * completed. compensated: undone after a refusal, see `reason`. rejected: refused, nothing was done.
 * @typedef {'sending' | 'unknown' | 'accepted' | 'confirmed' | 'compensated' | 'rejected'} Phase
 */

/**
 * Where an operation is, always exactly one of these. sent: no answer yet. acknowledged: the server has it, and has shown
 * nothing of it yet. running: the journal follows it. settled: it has ended, see `phase`. unknown: whether the server has it
 * is not known now, or it ended without an outcome.
 * @typedef {'sent' | 'acknowledged' | 'running' | 'settled' | 'unknown'} OperationPhase
 */

/**
 * @typedef {object} Progress
 * @property {OperationPhase} state
 * @property {Phase} phase
 * @property {string | null} sagaId
 * @property {string | null} reason  The saga's reason, or the problem's code.
 * @property {Problem | null} problem
 * @property {boolean} ended   Nothing more happens to it.
 * @property {boolean} gaveUp  Unknown, and no longer sent automatically; `retry()` sends it again.
 */

/** @typedef {{kind: 'accepted' | 'rejected' | 'unknown', sagaId: string | null, problem: Problem | null}} Acceptance */
/**
 * data: of a plain command, what it answered; of a saga that ended, its data; null where there is none.
 * @template [A=any]
 * @typedef {{kind: 'confirmed' | 'compensated' | 'rejected' | 'unknown', sagaId: string | null, reason: string | null, problem: Problem | null, data: A | null}} Outcome
 */

/**
 * What `mutate` returns to its caller. A: the data of its outcome; I: its input.
 * @template [A=any]
 * @template [I=any]
 * @typedef {object} Operation
 * @property {string} id  Also its Idempotency-Key and the `mutation` that events echo.
 * @property {string | null} name  By which it was defined; null for a one-off.
 * @property {I} input  What it was called with.
 * @property {import('./observable.js').Readable<Progress>} progress
 * @property {Promise<Acceptance>} accepted  Settles when the server is known to have it, or has refused it, or the attempts have ended.
 * @property {Promise<Outcome<A>>} outcome      Settles when it has ended, or the attempts have ended.
 * @property {Promise<Outcome<A>>} settled      Settles when it has ended. After the attempts have ended the journal or `retry()` may
 *   still end it.
 * @property {() => void} retry    Send again now, with the same key.
 * @property {() => void} dismiss  Stop showing it. It is not cancelled: the server may have it.
 */

/**
 * @typedef {object} Definition
 * @property {(draft: import('./view.js').Draft, input: any) => void} apply
 * @property {import('./send.js').RequestData} request
 * @property {string} [name]  By which it was defined.
 * @property {any} [input]  Passed to `apply` and `settledWhen`.
 * @property {((state: State, input: any) => boolean) | undefined} [settledWhen]  Keep the row until this is true for the server's state, for a
 *   mutation whose effect comes only with a later event than the one its answer names. An event that names the mutation ends
 *   the row, too. An exception is reported, and counts as true.
 */

/**
 * sending: the first attempt runs. waiting: a pause before the next attempt. asking: a further attempt runs. gave-up: no
 * further attempt without `retry()`. accepted: the server has it. confirmed, compensated, rejected: its outcome. closed: it
 * ended without an outcome: dismissed, stopped, or no longer in the journal.
 * @typedef {'sending' | 'waiting' | 'asking' | 'gave-up' | 'accepted' | 'confirmed' | 'compensated' | 'rejected' | 'closed'} OperationStatus
 */

/**
 * @typedef {object} OperationState
 * @property {Definition} definition
 * @property {string} id
 * @property {string} at  RFC 3339.
 * @property {OperationStatus} status
 * @property {string | null} sagaId
 * @property {string | null} reason
 * @property {Problem | null} problem
 * @property {number} failures  Attempts without a usable answer, since the start or the last `retry()`.
 * @property {{version: number, cursor: import('./cursor.js').Cursor | null} | null} answer  The version and position that its
 *   answer named.
 * @property {boolean} echoed  Whether an event with its id was received, even if later events of that saga have another id.
 * @property {boolean} rowSettled  Whether the base has its row, or no row must be shown any more.
 * @property {ReadonlyMap<string, number>} awaited  The values whose base does not contain its effect yet: name → the version at
 *   the click.
 */

/**
 * answer: of an attempt. stream: the base has advanced. snapshot: the base was replaced. timer: `retry` ends the pause before
 * the next attempt, `event` the wait for the event of an accepted operation, `values` the wait for the values of an ended one.
 * retry, dismiss: the page calls it. stop: the client stops.
 * @typedef {{type: 'answer', answer: import('./send.js').Answer, attempts: number}
 *   | {type: 'stream' | 'snapshot', state: State, position: import('./cursor.js').Cursor | null}
 *   | {type: 'timer', timer: Timer, live: boolean, state: State}
 *   | {type: 'retry'} | {type: 'dismiss'} | {type: 'stop'}} OperationEvent  attempts: the limit of attempts in a row. live:
 *   whether the journal is followed.
 */

/** @typedef {'retry' | 'event' | 'values'} Timer */

/**
 * @typedef {{type: 'send', first: boolean}
 *   | {type: 'wait', timer: 'retry', failures: number, retryAfter: number | null}
 *   | {type: 'wait', timer: 'event' | 'values'}
 *   | {type: 'accept', acceptance: Acceptance}
 *   | {type: 'conclude', outcome: Outcome, final: boolean}} Effect  first: no earlier attempt can have reached the server.
 *   accept and conclude settle the promises, each the first time only. final: it has ended; else only the attempts have.
 */

/** @typedef {{operation: OperationState, effects: readonly Effect[]}} Step */

/** @type {ReadonlySet<OperationStatus>} statuses of an operation that has ended */
const ENDS = new Set(['confirmed', 'compensated', 'rejected', 'closed']);
/** @type {ReadonlySet<OperationStatus>} */
const UNANSWERED = new Set(['sending', 'waiting', 'asking', 'gave-up']);
/** @type {ReadonlyMap<string, number>} */
const NO_VALUES = new Map();
/** @type {readonly Effect[]} */
const NO_EFFECTS = [];

/**
 * @param {Definition} definition
 * @param {string} id
 * @param {string} at  RFC 3339.
 * @param {boolean} restored  Resumed after a reload: an earlier attempt may have reached the server.
 * @returns {OperationState}
 */
export const createOperation = (definition, id, at, restored) => ({
  definition,
  id,
  at,
  status: restored ? 'asking' : 'sending',
  sagaId: null,
  reason: null,
  problem: null,
  failures: 0,
  answer: null,
  echoed: false,
  rowSettled: false,
  awaited: NO_VALUES,
});

/** Whether its outcome is unknown, and the server may not have it. @param {OperationState} operation */
export const isUnanswered = ({ status }) => UNANSWERED.has(status);

/** Whether it has not ended, or still changes what is shown. @param {OperationState} operation */
export const isPending = ({ status, awaited }) => !ENDS.has(status) || awaited.size > 0;

/** @param {Pick<OperationState, 'status' | 'echoed'>} operation @returns {OperationPhase} */
function stateOf({ status, echoed }) {
  if (status === 'sending') return 'sent';
  if (status === 'accepted') return echoed ? 'running' : 'acknowledged';
  return ENDS.has(status) && status !== 'closed' ? 'settled' : 'unknown';
}

/** @param {OperationState} operation @returns {Progress} */
export const progressOf = ({ status, sagaId, reason, problem, echoed }) => ({
  state: stateOf({ status, echoed }),
  phase: ['waiting', 'asking', 'gave-up', 'closed'].includes(status)
    ? 'unknown'
    : /** @type {Phase} all others are named alike */ (status),
  sagaId,
  reason,
  problem,
  ended: ENDS.has(status),
  gaveUp: status === 'gave-up',
});

/** @param {OperationState} operation @param {OperationEvent} event @returns {Step} */
export function step(operation, event) {
  const { status } = operation;
  switch (event.type) {
    case 'answer':
      return status === 'sending' || status === 'asking'
        ? onAnswer(operation, event.answer, event.attempts)
        : stay(operation);
    case 'stream':
    case 'snapshot':
      return onBase(operation, event.state, event.position, event.type === 'snapshot');
    case 'timer':
      return onTimer(operation, event);
    case 'retry':
      if (status === 'waiting') return ask(operation);
      return status === 'gave-up' ? ask({ ...operation, failures: 0 }) : stay(operation);
    case 'dismiss':
      return end(operation, 'closed', { reason: 'dismissed' });
    case 'stop':
      return ENDS.has(status)
        ? stay({ ...operation, awaited: NO_VALUES })
        : end(operation, 'closed', { reason: 'stopped' });
  }
}

/** @param {OperationState} operation @returns {Step} */
const stay = (operation) => ({ operation, effects: NO_EFFECTS });

/** @param {OperationState} operation @returns {Step} */
const ask = (operation) => ({
  operation: { ...operation, status: 'asking' },
  effects: [{ type: 'send', first: false }],
});

/**
 * The server is known to have it: what happens to the request no longer matters.
 * @param {OperationState} operation
 * @param {string | null} sagaId
 * @returns {Step}
 */
const accept = (operation, sagaId) => ({
  operation: { ...operation, status: 'accepted', sagaId, reason: null, problem: null },
  effects: [{ type: 'accept', acceptance: { kind: 'accepted', sagaId, problem: null } }],
});

/**
 * @param {OperationState} operation
 * @param {'confirmed' | 'compensated' | 'rejected' | 'closed'} status
 * @param {{reason?: string | null, problem?: Problem | null, data?: any}} [why]
 * @returns {Step}
 */
function end(operation, status, { reason = null, problem = null, data = null } = {}) {
  if (ENDS.has(operation.status)) return stay(operation);
  // A completed saga has changed its values, and so has a compensated one: its effect is shown until the base contains it.
  const awaited = status === 'confirmed' || status === 'compensated' ? operation.awaited : NO_VALUES;
  const { sagaId } = operation;
  /** @type {Effect[]} */
  const effects = [
    {
      type: 'conclude',
      outcome: { kind: status === 'closed' ? 'unknown' : status, sagaId, reason, problem, data },
      final: true,
    },
  ];
  if (awaited.size > 0) effects.push({ type: 'wait', timer: 'values' });
  return { operation: { ...operation, status, reason, problem, awaited, rowSettled: true }, effects };
}

/** One step after another. @param {Step} before @param {(operation: OperationState) => Step} next @returns {Step} */
function then(before, next) {
  const after = next(before.operation);
  return { operation: after.operation, effects: [...before.effects, ...after.effects] };
}

/**
 * @param {OperationState} operation
 * @param {import('./send.js').Answer} answer
 * @param {number} attempts
 * @returns {Step}
 */
function onAnswer(operation, answer, attempts) {
  if (answer.kind === 'accepted') {
    const { saga, cursor, data = null } = answer;
    const named = { ...operation, answer: { version: saga?.version ?? Infinity, cursor } };
    const accepted = accept(named, saga?.id ?? operation.sagaId);
    // A plain command: no event follows.
    if (!saga) return then(accepted, (next) => end(next, 'confirmed', { data }));
    return { ...accepted, effects: [...accepted.effects, { type: 'wait', timer: 'event' }] };
  }
  const { kind, problem } = answer;
  if (kind === 'rejected') return end(operation, 'rejected', { reason: problem.code, problem });
  const failures = operation.failures + 1;
  if (kind === 'again' && failures < attempts)
    return {
      operation: { ...operation, status: 'waiting', failures, problem },
      effects: [{ type: 'wait', timer: 'retry', failures, retryAfter: problem.retryAfter }],
    };
  // The outcome stays unknown; the journal may still settle it.
  const { sagaId } = operation;
  return {
    operation: { ...operation, status: 'gave-up', failures, reason: problem.code, problem },
    effects: [
      {
        type: 'conclude',
        outcome: { kind: 'unknown', sagaId, reason: problem.code, problem, data: null },
        final: false,
      },
    ],
  };
}

/** @param {OperationState} operation @param {OperationEvent & {type: 'timer'}} event @returns {Step} */
function onTimer(operation, { timer, live, state }) {
  const { status, rowSettled, sagaId } = operation;
  if (timer === 'retry') return status === 'waiting' ? ask(operation) : stay(operation);
  if (timer === 'values') return stay(ENDS.has(status) ? { ...operation, awaited: NO_VALUES } : operation);
  if (status !== 'accepted' || rowSettled) return stay(operation);
  // Only while the journal is followed does a missing event show that there is none.
  if (!live) return { operation, effects: [{ type: 'wait', timer: 'event' }] };
  if (state.sagas.has(sagaId ?? '')) return stay({ ...operation, rowSettled: true });
  return end(operation, 'closed');
}

/**
 * @param {OperationState} operation
 * @param {State} base
 * @param {import('./cursor.js').Cursor | null} position
 * @param {boolean} replaced  By a snapshot or reset.
 * @returns {Step}
 */
function onBase(operation, base, position, replaced) {
  const awaited = stillAwaited(operation, base);
  const settled = awaited === operation.awaited ? operation : { ...operation, awaited };
  if (ENDS.has(operation.status)) return stay(settled);

  const { id, sagaId, answer, definition } = operation;
  const answered = base.sagas.get(sagaId ?? '');
  const saga = answered && contains(answered, id) ? answered : (findContaining(base.sagas, id) ?? answered);
  const named = saga !== undefined && contains(saga, id);
  const before = named && !operation.echoed ? accept({ ...settled, echoed: true }, saga.id) : stay(settled);
  const { echoed } = before.operation;

  // Whether the base contains the version that the answer named, or an event that named the operation was received.
  const contained = saga && (echoed || saga.version >= (answer?.version ?? Infinity));
  const cursor = answer?.cursor ?? null;
  // After a reset in another epoch the answer's position does not count; the new state is newer.
  const superseded = replaced && cursor && cursor.epoch !== position?.epoch;
  const current = contained || superseded || reached(position, cursor);
  const { settledWhen, input } = definition;
  const shown =
    !settledWhen || !saga || ended(saga) || saga.mutations?.includes(id) || settledWhen(base, input) || false;
  const rowSettled = operation.rowSettled || (Boolean(current) && shown);
  return then(before, (accepted) => {
    const next = accepted.rowSettled === rowSettled ? accepted : { ...accepted, rowSettled };
    if (contained && ended(saga))
      return end(next, OUTCOMES[/** @type {keyof typeof OUTCOMES} */ (saga.status)], {
        reason: saga.reason,
        data: saga.data,
      });
    if (replaced && echoed && !saga) return end(next, 'closed'); // the journal no longer has it
    return stay(next);
  });
}

/**
 * The values whose base does not contain the operation's effect yet. Where a service names the commands of a version, the
 * version that names this operation contains it. Otherwise the next version counts as the one that contains it.
 * @param {OperationState} operation
 * @param {State} base
 */
function stillAwaited({ id, awaited }, base) {
  const left = [...awaited].filter(([name, known]) => {
    const value = base.values.get(name);
    return !(value && (value.mutations ? value.mutations.includes(id) : value.version > known));
  });
  return left.length === awaited.size ? awaited : new Map(left);
}
