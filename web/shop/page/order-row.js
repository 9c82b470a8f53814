/** One order in the list, and what to show and offer besides the line with its stops. */
import { artOf, drawing } from './art.js';
import { secondsUntil } from './clock.js';
import { money, shortId, time } from './format.js';
import { client } from './live.js';
import { payOtherwise, putBack } from './notices.js';
import { helpView } from './parts.js';
import { keyOf } from './orders.js';
import { h } from './render.js';
import { interpolate, texts } from './texts.js';
import { trackView } from './track.js';
import { label, message, mood, nextRetry } from './words.js';

/** @typedef {import('./shapes.js').Order} Order */

/** @param {Order} order */
const itemsOf = (order) =>
  order.data.lines.map((line) => ({ ...line, currency: order.data.currency, art: artOf(line.sku) }));

/** @param {NonNullable<ReturnType<typeof nextRetry>>} again */
function retryView({ what, attempt, at, why }) {
  const left = secondsUntil(at);
  return h(
    'p',
    { class: 'trying', 'data-test': 'trying', 'data-attempt': attempt },
    h(
      'b',
      {},
      `${what}: ${interpolate(texts.order.attempt, { attempt })}, `,
      left > 0 ? interpolate(texts.order.nextTry, { seconds: left }) : texts.order.tryingNow,
    ),
    why && `. ${why}.`,
  );
}

/** @param {Order} order */
export function verdictView(order) {
  const said = message(order);
  const again = nextRetry(order);
  if (!said && !again) return null;
  const operation = order.pending === 'unknown' && client.operation(keyOf(order));
  const over = order.status === 'COMPENSATED' || order.status === 'REJECTED';
  return h(
    'div',
    { class: 'verdict', 'data-tone': said?.tone ?? 'warn', 'data-test': 'verdict' },
    said && h('p', {}, h('strong', {}, said.happened), ' ', said.next),
    said?.help && helpView(interpolate(texts.order.numbered, { id: shortId(order.id) })),
    again && retryView(again),
    h(
      'div',
      { class: 'actions' },
      over &&
        order.reason === 'card-declined' &&
        h(
          'button',
          {
            type: 'button',
            class: 'small primary',
            'data-test': 'other-card',
            onclick: () => payOtherwise(itemsOf(order), order.data.card),
          },
          texts.order.otherCard,
        ),
      over &&
        h(
          'button',
          { type: 'button', class: 'small', 'data-test': 'put-back', onclick: () => putBack(itemsOf(order)) },
          texts.order.putBack,
        ),
      operation && [
        h(
          'button',
          { type: 'button', class: 'small', 'data-test': 'ask-again', onclick: () => operation.retry() },
          texts.order.askAgain,
        ),
        h(
          'button',
          { type: 'button', class: 'small plain', onclick: () => operation.dismiss() },
          texts.order.hide,
        ),
      ],
    ),
  );
}

/** @param {Order} order */
export function orderRow(order) {
  const [first] = order.data.lines;
  const ours = order.version < 0 && order.pending !== 'accepted';
  const name = ours ? texts.order.new : interpolate(texts.order.numbered, { id: shortId(order.id) });
  return h(
    'li',
    {
      key: keyOf(order),
      class: 'card order',
      'data-test': 'order-row',
      'data-order': order.id,
      'data-status': order.status,
      'data-step': order.step ?? '',
      'data-mood': mood(order),
      'data-pending': Boolean(order.pending),
    },
    h(
      'div',
      { class: 'row-art', 'aria-hidden': true },
      first && h('span', { class: 'tile tiny', 'data-art': artOf(first.sku) }, drawing(artOf(first.sku))),
    ),
    h(
      'div',
      { class: 'order-head' },
      h('h2', {}, ours ? name : h('a', { href: `/orders/${order.id}` }, name)),
      h('span', { class: 'chip' }, label(order)),
    ),
    h(
      'div',
      { class: 'order-side' },
      h('span', { class: 'price' }, money(order.data.total_cents, order.data.currency)),
      h('span', { class: 'quiet' }, time(order.at)),
    ),
    h(
      'p',
      { class: 'what' },
      order.data.lines
        .map((line) => `${line.quantity > 1 ? `${line.quantity} × ` : ''}${line.name}`)
        .join(', '),
    ),
    trackView(order),
    h('div', {}, verdictView(order)),
  );
}
