/** The basket, and the click that places an order: the order is on the next screen before anything was sent. */
import { drawing } from '../art.js';
import { basketItems, emptyBasket, onBasket, setQuantity } from '../basket.js';
import { money } from '../format.js';
import { placeOrder } from '../live.js';
import { follow } from '../notices.js';
import { isSessionUnknown, signInUrl, user } from '../session.js';
import { h } from '../render.js';
import { go } from '../router.js';
import { useStock } from '../screen.js';
import { stockBadge } from '../stock.js';
import { interpolate, number, plural, texts } from '../texts.js';
import { clearToast, toast } from '../toast.js';

/** @typedef {import('../basket.js').Item} Item */
/** @typedef {import('../screen.js').StockLevel} StockLevel */

const MOST = 99;

function place() {
  const items = basketItems();
  const [first] = items;
  if (!first) return;
  try {
    const lines = items.map(({ sku, name, quantity, price_cents }) => ({ sku, name, quantity, price_cents }));
    follow(placeOrder({ lines, currency: first.currency }), items);
  } catch {
    return toast(texts.basket.tooMany, { tone: 'bad' });
  }
  emptyBasket();
  go('/orders');
}

/** @param {Item} item */
function stepper(item) {
  const change = (/** @type {number} */ by) => setQuantity(item.sku, item.quantity + by);
  return h(
    'div',
    {
      class: 'stepper',
      role: 'group',
      'aria-label': interpolate(texts.basket.quantityOf, { name: item.name }),
    },
    h(
      'button',
      {
        type: 'button',
        'aria-label': item.quantity === 1 ? texts.basket.remove : texts.basket.less,
        onclick: () => change(-1),
      },
      '−',
    ),
    h('output', {}, number(item.quantity)),
    h(
      'button',
      {
        type: 'button',
        'aria-label': texts.basket.more,
        disabled: item.quantity >= MOST,
        onclick: () => change(1),
      },
      '+',
    ),
  );
}

/** @param {Item} item @param {StockLevel} level */
const lineView = (item, level) =>
  h(
    'li',
    { key: item.sku, class: 'line', 'data-test': 'basket-line', 'data-sku': item.sku },
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
      stockBadge(item.sku, level),
    ),
    stepper(item),
    h('span', { class: 'price' }, money(item.quantity * item.price_cents, item.currency)),
  );

const emptyView = () =>
  h(
    'section',
    { class: 'card centred' },
    h('h2', {}, texts.basket.empty),
    h('p', {}, texts.basket.emptyWhat),
    h('a', { class: 'button primary', href: '/' }, texts.basket.lookAround),
  );

/** @param {boolean} signedIn @param {boolean} recognised */
const orderButton = (signedIn, recognised) =>
  signedIn || !recognised
    ? h(
        'button',
        {
          type: 'button',
          class: 'primary wide',
          'data-test': 'place-order',
          disabled: !signedIn,
          onclick: place,
        },
        texts.basket.place,
      )
    : h(
        'a',
        { class: 'button primary wide', href: signInUrl(), 'data-test': 'sign-in-to-order' },
        texts.basket.signIn,
      );

/** @param {{items: Item[], stockOf: (sku: string) => StockLevel, signedIn: boolean, recognised: boolean}} state */
function basketView({ items, stockOf, signedIn, recognised }) {
  const total = items.reduce((sum, item) => sum + item.quantity * item.price_cents, 0);
  const count = items.reduce((sum, item) => sum + item.quantity, 0);
  return [
    h('h1', {}, texts.basket.title),
    items.length === 0
      ? emptyView()
      : h(
          'div',
          { class: 'basket' },
          h(
            'ul',
            { class: 'card lines' },
            items.map((item) => lineView(item, stockOf(item.sku))),
          ),
          h(
            'aside',
            { class: 'card summary' },
            h(
              'dl',
              {},
              h(
                'div',
                {},
                h('dt', {}, plural(texts.items, count)),
                h(
                  'dd',
                  { class: 'price big', 'data-test': 'total' },
                  money(total, items[0]?.currency ?? 'EUR'),
                ),
              ),
            ),
            orderButton(signedIn, recognised),
            h('p', { class: 'quiet' }, texts.basket.what),
          ),
        ),
  ];
}

/** @type {import('../router.js').View} */
export function basket(visit) {
  const stock = useStock(visit);
  const watch = () => stock.watch(basketItems().map((item) => item.sku));
  visit.onLeave(onBasket(watch));
  watch();
  clearToast('basket');
  return {
    title: () => texts.basket.title,
    draw: () =>
      basketView({
        items: basketItems(),
        stockOf: stock.of,
        signedIn: user() !== null,
        recognised: !isSessionUnknown(),
      }),
  };
}
