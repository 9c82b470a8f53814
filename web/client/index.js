/**
 * The browser client of a bff gateway: the server's state, live, and mutations that are shown at once and follow
 * their real outcome. Only the exports of this module are public.
 */
export { createClient } from './client.js';
export { MOST_PENDING, TooManyPending } from './mutations.js';
export { ProblemError, networkProblem, readProblem } from './problem.js';
export { createSession } from './session.js';
export { ended } from './store.js';
export { createSharedStream } from './tabs.js';
export { fetchUser } from './user.js';

/**
 * @template [G=unknown]
 * @typedef {import('./typing.js').Client<G>} Client
 */
/** @typedef {import('./client.js').ClientOptions} ClientOptions */
/** @typedef {import('./operation.js').Definition} Definition */
/**
 * @template [A=any]
 * @template [I=any]
 * @typedef {import('./operation.js').Operation<A, I>} Operation
 */
/**
 * @template [A=any]
 * @typedef {import('./operation.js').Outcome<A>} Outcome
 */
/** @typedef {import('./operation.js').OperationPhase} OperationPhase */
/** @typedef {import('./operation.js').Acceptance} Acceptance */
/** @typedef {import('./operation.js').Progress} Progress */
/** @typedef {import('./mutations.js').Settlement} Settlement */
/** @typedef {import('./mutations.js').Monitor} Monitor */
/** @typedef {import('./problem.js').Problem} Problem */
/** @typedef {import('./problem.js').ProblemCode} ProblemCode */
/** @typedef {import('./session.js').Session} Session */
/** @typedef {import('./session.js').SessionHelper} SessionHelper */
/** @typedef {import('./store.js').Saga} Saga */
/** @typedef {import('./store.js').SagaStatus} SagaStatus */
/** @typedef {import('./store.js').State} State */
/** @typedef {import('./store.js').Value} Value */
/** @typedef {import('./connection.js').Source} Source */
/** @typedef {import('./connection.js').StreamState} StreamState */
/** @typedef {import('./user.js').User} User */
/** @typedef {import('./view.js').Draft} Draft */
