/** The scenes: each is a card with its fault, what to watch, and one button that stays pressed while the fault is in force. */
import { h, say } from '../dom.js';

/** @typedef {import('./services.js').Press} Press */

/** name, title, what it does, what to watch */
const SCENES = /** @type {const} */ ([
  [
    'slow-payments',
    'Slow payments',
    'Payments takes two and a half seconds for every answer.',
    'An order waits at Charge and still completes; its page does not wait and shows that the payment is missing.',
  ],
  [
    'failing-payments',
    'Failing payments',
    'Payments answers every request with an error.',
    'An order shows the number of its attempt and when the next one comes. Open it a few times, and the breaker of payments opens.',
  ],
  [
    'declined-payments',
    'Refused payments',
    'Payments declines every card.',
    'An order is undone at Charge: the items are back in stock, and the order shows the reason and whom to ask.',
  ],
  [
    'failing-refunds',
    'Failing refunds',
    'Refunds fail, and parcels are booked slowly, so that there is time to cancel.',
    'Place an order and cancel it while the parcel is booked: the refund counts its attempts, then needs attention. End the scene, and it finishes.',
  ],
  [
    'no-stock',
    'No stock',
    'Inventory refuses every reservation.',
    'An order is refused at Reserve with nothing to undo; the page shows the real stock again.',
  ],
  [
    'slow-catalog',
    'Slow catalog',
    'Catalog takes two seconds, longer than the deadline of a screen.',
    'Screens that need the catalog answer a problem in time; then the breaker opens, and they answer at once.',
  ],
  [
    'kill-orders-mid-charge',
    'Kill orders in mid-charge',
    'The next charge is held after it was made; orders is killed with kill -9 before it gets the answer.',
    'Place an order: it stops at Charge, orders restarts, and the order completes. The card is charged once.',
  ],
  [
    'stop-redis',
    'Stop Redis for 10 s',
    'Redis freezes and does not answer.',
    'You stay signed in, and products are shown. An order is sent again with the same number until its outcome is known, and is placed once; the stream catches up without a reload.',
  ],
]);

/** @param {(typeof SCENES)[number]} scene @param {Press} press */
function createCard([name, title, does, watch], press) {
  let active = false;
  const note = h('p', { class: 'scene-note', role: 'status', 'data-test': 'scene-note' });
  const button = h(
    'button',
    {
      type: 'button',
      class: 'small toggle',
      'aria-pressed': 'false',
      'data-test': `scene-${name}`,
      'aria-describedby': `scene-${name}`,
      onclick: () => press(active ? 'DELETE' : 'POST', `/demo/scenes/${name}`),
    },
    title,
  );
  const element = h(
    'li',
    { class: 'scene' },
    button,
    h('p', { id: `scene-${name}` }, does, ' ', h('span', { class: 'watch' }, h('b', {}, 'Watch: '), watch)),
    note,
  );
  return {
    name,
    element,
    /** @param {{active: boolean, note: string | null} | undefined} state @param {string | null} [more] */
    update(state, more = null) {
      active = Boolean(state?.active);
      button.setAttribute('aria-pressed', String(active));
      element.toggleAttribute('data-active', active);
      say(note, more ?? state?.note ?? '');
    },
  };
}

/** @param {Press} press */
export function createScenes(press) {
  const cards = SCENES.map((scene) => createCard(scene, press));
  const reset = h(
    'button',
    {
      type: 'button',
      class: 'small',
      'data-test': 'reset',
      onclick: () => press('DELETE', '/demo/scenes'),
    },
    'Put everything right',
  );
  return {
    element: h(
      'div',
      { class: 'stack' },
      h(
        'ul',
        { class: 'scenes' },
        cards.map(({ element }) => element),
      ),
      h('div', { class: 'actions' }, reset),
    ),
    /** @param {any} state  What /demo/state says. */
    update(state) {
      for (const { name, update } of cards) {
        const left = name === 'stop-redis' ? state.redis.seconds_left : null;
        update(state.scenes[name], left ? `Stopped for another ${Math.ceil(left)} s.` : null);
      }
    },
  };
}
