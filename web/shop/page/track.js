/** An order as a line with three stops. Forward the line fills; an undo runs it backwards; a refusal marks its stop. */
import { h, say } from './dom.js';
import { mood, word } from './words.js';

/** @typedef {import('./shapes.js').Order} Order */

const STOPS = /** @type {const} */ ([
  ['reserve', 'Reserve'],
  ['charge', 'Charge'],
  ['ship', 'Ship'],
]);
/** @typedef {import('./shapes.js').Step} Step */

/** @satisfies {Partial<Record<Step, number>>} */
const FORWARD = { reserve: 0, charge: 1, ship: 2 };
/** @satisfies {Partial<Record<Step, number>>} */
const BACKWARD = { release: 0, refund: 1, 'cancel-shipment': 2 };
/** @satisfies {Partial<Record<import('./shapes.js').Reason, number>>} where a refusal with this reason happened */
const REFUSED_AT = { 'out-of-stock': 0, 'card-declined': 1 };
/** @type {Record<string, string>} the state of a stop, for screen readers */
const SPOKEN = {
  todo: 'to come',
  now: 'in progress',
  done: 'done',
  undoing: 'being undone',
  undone: 'undone',
  failed: 'refused',
};

/** @param {Order} order @returns {string[]} the state of each stop */
export function stops(order) {
  const { status, step, reason } = order;
  const forward = word(FORWARD, step) ?? -1;
  const backward = word(BACKWARD, step) ?? -1;
  const refused = word(REFUSED_AT, reason) ?? -1;
  return STOPS.map((_, at) => {
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
  });
}

/** @returns {{element: Element, update: (order: Order) => void}} */
export function createTrack() {
  const items = STOPS.map(([, name]) => {
    const spoken = h('span', { class: 'unseen' });
    return {
      item: h('li', {}, h('span', { class: 'stop' }), h('span', { class: 'stop-name' }, name), spoken),
      spoken,
    };
  });
  const element = h(
    'ol',
    { class: 'track', 'aria-label': 'Progress' },
    items.map(({ item }) => item),
  );
  return {
    element,
    update(order) {
      element.setAttribute('data-mood', mood(order));
      const states = stops(order);
      items.forEach(({ item, spoken }, at) => {
        const state = states[at] ?? 'todo';
        item.setAttribute('data-state', state);
        say(spoken, `: ${SPOKEN[state]}`);
      });
    },
  };
}
