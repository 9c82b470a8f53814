/**
 * An order as a line with three stops. Forward the line fills; an undo runs it backwards, and its end
 * tells what was undone; a refusal marks its stop.
 */
import { h } from './render.js';
import { texts } from './texts.js';
import { mood, entryOf } from './words.js';

/** @typedef {import('./shapes.js').Order} Order */
/** @typedef {import('./shapes.js').Step} Step */

const STOPS = /** @type {const} */ (['reserve', 'charge', 'ship']);

/** @satisfies {Partial<Record<Step, number>>} */
const FORWARD = { reserve: 0, charge: 1, ship: 2 };
/** @satisfies {Partial<Record<Step, number>>} */
const BACKWARD = { release: 0, refund: 1, 'cancel-shipment': 2 };
/** Reasons of a service that refused its step, so that nothing of that step had to be undone. */
const REFUSALS = new Set(['out-of-stock', 'card-declined', 'no-carrier']);

/** How the stop of this index stands. @param {Order} order @param {number} at @returns {keyof typeof texts.stopStates} */
function stopState({ status, step, reason, data }, at) {
  if (status === 'COMPLETED') return 'done';
  if (status === 'PENDING') return at === 0 ? 'now' : 'todo';
  const reached = entryOf(FORWARD, data.reached ?? step) ?? 0;
  if (status === 'RUNNING') return at < reached ? 'done' : at === reached ? 'now' : 'todo';
  // On the way back, or at its end: what was not reached will not come.
  if (at > reached) return 'skipped';
  if (at === reached && (REFUSALS.has(reason ?? '') || status === 'REJECTED')) return 'failed';
  const undoing = status === 'COMPENSATED' ? -1 : (entryOf(BACKWARD, step) ?? -1);
  return at < undoing ? 'done' : at === undoing ? 'undoing' : 'undone';
}

/** What the stop is called in this state. @param {Order} order @param {number} at @param {keyof typeof texts.stopStates} state */
function stopName({ reason, data }, at, state) {
  const stop = /** @type {(typeof STOPS)[number]} */ (STOPS[at]);
  // A service that did not answer may have done nothing, so nothing may have been paid back.
  const unsure = state === 'undone' && data.reached === stop && reason?.endsWith('-unavailable');
  return unsure ? texts.labels.undone : (entryOf(texts.stopsNow, state)?.[stop] ?? texts.stops[stop]);
}

/** @param {Order} order */
export const trackView = (order) =>
  h(
    'ol',
    { class: 'track', 'aria-label': texts.order.progress, 'data-mood': mood(order) },
    STOPS.map((_, at) => {
      const state = stopState(order, at);
      return h(
        'li',
        { 'data-state': state },
        h('span', { class: 'stop' }),
        h('span', { class: 'stop-name' }, stopName(order, at, state)),
        h('span', { class: 'unseen' }, `: ${texts.stopStates[state]}`),
      );
    }),
  );
