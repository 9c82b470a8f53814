/** One order in the list, updated in place as it changes. */
import { drawing } from './art.js';
import { countdown } from './countdown.js';
import { fill, h, say } from './dom.js';
import { money, shortId, time } from './format.js';
import { client } from './live.js';
import { putBack } from './notices.js';
import { keyOf } from './orders.js';
import { createTrack } from './track.js';
import { label, message, mood, trying } from './words.js';

/** @typedef {import('./shapes.js').Order} Order */

/** The key of the drawing for an order's line, which has only a sku. @param {string} sku */
export const artOf = (sku) => sku.replace(/-[^-]*$/, '');

/** @param {Order} order */
export function itemsOf(order) {
  return order.data.lines.map((line) => ({
    ...line,
    currency: order.data.currency,
    art: artOf(line.sku),
  }));
}

/** @param {Order} order  What to show and offer besides the line with its stops. */
export function verdict(order) {
  const said = message(order);
  const again = trying(order);
  if (!said && !again) return null;
  const operation = client.operation(keyOf(order));
  const over = order.status === 'COMPENSATED' || order.status === 'REJECTED';
  return h(
    'div',
    { class: 'verdict', 'data-tone': said?.tone ?? 'warn', 'data-test': 'verdict' },
    said && h('p', {}, h('strong', {}, said.happened), ' ', said.next),
    again &&
      h(
        'p',
        { class: 'trying', 'data-test': 'trying', 'data-attempt': again.attempt },
        h('b', {}, `${again.what}: attempt ${again.attempt}, `, countdown(again.at)),
        again.why && `. ${again.why}.`,
      ),
    h(
      'div',
      { class: 'actions' },
      over &&
        h(
          'button',
          { type: 'button', class: 'small', 'data-test': 'put-back', onclick: () => putBack(itemsOf(order)) },
          'Put back in basket',
        ),
      order.pending === 'unknown' &&
        operation && [
          h(
            'button',
            { type: 'button', class: 'small', 'data-test': 'ask-again', onclick: () => operation.retry() },
            'Ask again now',
          ),
          h('button', { type: 'button', class: 'small plain', onclick: () => operation.dismiss() }, 'Hide'),
        ],
    ),
  );
}

/** @param {Order} first */
export function createOrderRow(first) {
  const title = h('h2');
  const chip = h('span', { class: 'chip' });
  const when = h('span', { class: 'quiet' });
  const total = h('span', { class: 'price' });
  const what = h('p', { class: 'what' });
  const art = h('div', { class: 'row-art', 'aria-hidden': true });
  const below = h('div');
  const track = createTrack();
  const element = h(
    'li',
    { class: 'card order', 'data-test': 'order-row' },
    art,
    h('div', { class: 'order-head' }, title, chip),
    h('div', { class: 'order-side' }, total, when),
    what,
    track.element,
    below,
  );
  let drawn = '';

  /** @param {Order} order */
  function update(order) {
    const lines = order.data.lines;
    element.setAttribute('data-order', order.id);
    element.setAttribute('data-status', order.status);
    element.setAttribute('data-step', order.step ?? '');
    element.setAttribute('data-mood', mood(order));
    element.toggleAttribute('data-pending', Boolean(order.pending));
    const ours = order.version < 0 && order.pending !== 'accepted';
    const name = ours ? 'New order' : `Order ${shortId(order.id)}`;
    if (title.dataset.for !== order.id + ours) {
      title.dataset.for = order.id + ours;
      fill(title, ours ? name : h('a', { href: `/orders/${order.id}` }, name));
    }
    say(chip, label(order));
    say(when, time(order.at));
    say(total, money(order.data.total_cents, order.data.currency));
    say(
      what,
      lines.map((line) => `${line.quantity > 1 ? `${line.quantity} × ` : ''}${line.name}`).join(', '),
    );
    if (art.childElementCount === 0) {
      fill(
        art,
        lines
          .slice(0, 1)
          .map((line) =>
            h('span', { class: 'tile tiny', 'data-art': artOf(line.sku) }, drawing(artOf(line.sku))),
          ),
      );
    }
    track.update(order);
    const next = JSON.stringify([message(order), trying(order), order.status, order.pending]);
    if (next !== drawn) fill(below, verdict(order));
    drawn = next;
  }
  update(first);
  return { element, update };
}
