/** An order as a line with three stops. Forward the line fills; an undo runs it backwards; a refusal marks its stop. */
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
/** @satisfies {Partial<Record<import('./shapes.js').Reason, number>>} where a refusal with this reason happened */
const REFUSED_AT = { 'out-of-stock': 0, 'card-declined': 1 };

/** @param {Order} order @param {number} at  The stop's index. @returns {keyof typeof texts.stopStates} */
function stopState({ status, step, reason }, at) {
  const forward = entryOf(FORWARD, step) ?? -1;
  const backward = entryOf(BACKWARD, step) ?? -1;
  const refused = entryOf(REFUSED_AT, reason) ?? -1;
  if (status === 'COMPLETED') return 'done';
  if (status === 'PENDING') return at === 0 ? 'now' : 'todo';
  if (status === 'RUNNING') return at < forward ? 'done' : at === forward ? 'now' : 'todo';
  if (at === refused) return 'failed';
  if (refused >= 0 && at > refused) return 'todo';
  if (status === 'REJECTED') return at === Math.max(forward, 0) ? 'failed' : 'todo';
  if (status === 'COMPENSATED') return refused < 0 && at > Math.max(forward, backward) ? 'todo' : 'undone';
  if (backward >= 0)
    return at < backward ? 'done' : at === backward ? 'undoing' : refused < 0 ? 'todo' : 'undone';
  return at < forward ? 'done' : at === forward ? 'failed' : 'todo';
}

/** @param {Order} order */
export const trackView = (order) =>
  h(
    'ol',
    { class: 'track', 'aria-label': texts.order.progress, 'data-mood': mood(order) },
    STOPS.map((stop, at) => {
      const state = stopState(order, at);
      return h(
        'li',
        { 'data-state': state },
        h('span', { class: 'stop' }),
        h('span', { class: 'stop-name' }, texts.stops[stop]),
        h('span', { class: 'unseen' }, `: ${texts.stopStates[state]}`),
      );
    }),
  );
