/** The basket, and the click that places an order: the order is on the next screen before anything was sent. */
import { drawing } from '../art.js';
import { basketItems, emptyBasket, onBasket, setQuantity } from '../basket.js';
import { fill, h } from '../dom.js';
import { money, plural } from '../format.js';
import { placeOrder, stockWatch } from '../live.js';
import { follow } from '../notices.js';
import { onPerson, signInAt, who } from '../person.js';
import { go } from '../router.js';
import { stockBadge } from '../stock.js';
import { clearToast, toast } from '../toast.js';

function place() {
  const items = basketItems();
  const first = items[0];
  if (!first) return;
  try {
    const lines = items.map(({ sku, name, quantity, price_cents }) => ({ sku, name, quantity, price_cents }));
    follow(placeOrder({ lines, currency: first.currency }), items);
  } catch {
    return toast('Too many orders are still being sent. Please wait until they have arrived.', {
      tone: 'bad',
    });
  }
  emptyBasket();
  go('/orders');
}

/** @type {import('../router.js').View} */
export function basket({ onLeave }) {
  const body = h('div');
  /** @type {(() => void)[]} */
  let leavings = [];
  const leaveRows = () => leavings.splice(0).forEach((leave) => leave());

  /** @param {import('../basket.js').Item} item */
  function row(item) {
    const change = (/** @type {number} */ by) => setQuantity(item.sku, item.quantity + by);
    return h(
      'li',
      { class: 'line', 'data-test': 'basket-line', 'data-sku': item.sku },
      h(
        'a',
        {
          class: 'tile tiny',
          href: `/products/${item.sku}`,
          'data-art': item.art,
          tabindex: -1,
          'aria-hidden': true,
        },
        drawing(item.art),
      ),
      h(
        'div',
        { class: 'line-text' },
        h('a', { href: `/products/${item.sku}` }, item.name),
        stockBadge(item.sku, (leave) => leavings.push(leave)),
      ),
      h(
        'div',
        { class: 'stepper', role: 'group', 'aria-label': `Quantity of ${item.name}` },
        h(
          'button',
          {
            type: 'button',
            'data-focus': `less-${item.sku}`,
            'aria-label': item.quantity === 1 ? 'Remove' : 'One less',
            onclick: () => change(-1),
          },
          '−',
        ),
        h('output', {}, item.quantity),
        h(
          'button',
          {
            type: 'button',
            'data-focus': `more-${item.sku}`,
            'aria-label': 'One more',
            disabled: item.quantity >= 99,
            onclick: () => change(1),
          },
          '+',
        ),
      ),
      h('span', { class: 'price' }, money(item.quantity * item.price_cents, item.currency)),
    );
  }

  const watchStock = stockWatch(onLeave);
  function draw() {
    leaveRows();
    const focus = document.activeElement?.getAttribute('data-focus');
    const items = basketItems();
    watchStock(items.map((item) => item.sku));
    const total = items.reduce((sum, item) => sum + item.quantity * item.price_cents, 0);
    const count = items.reduce((sum, item) => sum + item.quantity, 0);
    fill(
      body,
      h('h1', {}, 'Basket'),
      items.length === 0
        ? h(
            'section',
            { class: 'card centred' },
            h('h2', {}, 'Your basket is empty'),
            h('p', {}, 'Items that you add are stored here, in this browser.'),
            h('a', { class: 'button primary', href: '/' }, 'Look around'),
          )
        : h(
            'div',
            { class: 'basket' },
            h('ul', { class: 'card lines' }, items.map(row)),
            h(
              'aside',
              { class: 'card summary' },
              h(
                'dl',
                {},
                h(
                  'div',
                  {},
                  h('dt', {}, plural(count, 'item')),
                  h(
                    'dd',
                    { class: 'price big', 'data-test': 'total' },
                    money(total, items[0]?.currency ?? 'EUR'),
                  ),
                ),
              ),
              who()
                ? h(
                    'button',
                    { type: 'button', class: 'primary wide', 'data-test': 'place-order', onclick: place },
                    'Place order',
                  )
                : h(
                    'a',
                    { class: 'button primary wide', href: signInAt(), 'data-test': 'sign-in-to-order' },
                    'Sign in to order',
                  ),
              h(
                'p',
                { class: 'quiet' },
                'We reserve the items, then charge your card, then book the parcel. If a step fails, the ones before it are undone.',
              ),
            ),
          ),
    );
    if (focus) body.querySelector(`[data-focus="${CSS.escape(focus)}"]`)?.focus();
  }

  clearToast('basket');
  draw();
  onLeave(onBasket(draw));
  onLeave(onPerson(draw));
  onLeave(leaveRows);
  return { title: 'Basket', body };
}
