/** The basket, and the click that places an order: the order is on the next screen before anything was sent. */
import { drawing } from '../art.js';
import { basketItems, chooseCard, chosenCard, emptyBasket, onBasket, setQuantity } from '../basket.js';
import { money } from '../format.js';
import { placeOrder } from '../live.js';
import { follow } from '../notices.js';
import { isSessionUnknown, signInUrl, user } from '../session.js';
import { h } from '../render.js';
import { go } from '../router.js';
import { useScreen, useStock } from '../screen.js';
import { stockBadge } from '../stock.js';
import { interpolate, number, plural, texts } from '../texts.js';
import { toast } from '../toast.js';

/** @typedef {import('../basket.js').Item} Item */
/** @typedef {import('../screen.js').StockLevel} StockLevel */

const MOST = 99;

/** @param {number | null} delivery_cents  As it is shown. */
function place(delivery_cents) {
  const items = basketItems();
  const [first] = items;
  if (!first) return;
  try {
    const lines = items.map(({ sku, name, quantity, price_cents }) => ({ sku, name, quantity, price_cents }));
    follow(placeOrder({ lines, delivery_cents, card: chosenCard(), currency: first.currency }), items);
  } catch {
    return toast(texts.basket.tooMany, { tone: 'bad' });
  }
  emptyBasket();
  chooseCard('first');
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

/** asking: while the delivery is asked for, nobody orders what they were not shown. @param {{signedIn: boolean, recognised: boolean, asking: boolean, delivery_cents: number | null}} state */
const orderButton = ({ signedIn, recognised, asking, delivery_cents }) =>
  signedIn || !recognised
    ? h(
        'button',
        {
          type: 'button',
          class: 'primary wide',
          'data-test': 'place-order',
          disabled: !signedIn || asking,
          onclick: () => place(delivery_cents),
        },
        texts.basket.place,
      )
    : h(
        'a',
        { class: 'button primary wide', href: signInUrl(), 'data-test': 'sign-in-to-order' },
        texts.basket.signIn,
      );

/** The cards of this demonstration; each person has two. */
const CARDS = /** @type {const} */ ({ first: '4242', second: '1881' });

const cardsView = () =>
  h(
    'fieldset',
    { class: 'cards' },
    h('legend', {}, texts.basket.payWith),
    Object.entries(CARDS).map(([card, digits]) =>
      h(
        'label',
        {},
        h('input', {
          type: 'radio',
          name: 'card',
          value: card,
          checked: chosenCard() === card,
          'data-test': `card-${card}`,
          onchange: () => chooseCard(/** @type {keyof typeof CARDS} */ (card)),
        }),
        interpolate(texts.basket.card, { digits }),
      ),
    ),
  );

/** @param {string} name @param {string} value @param {{test: string, class?: string}} marks */
const sumView = (name, value, { test, class: kind }) =>
  h('div', { class: kind }, h('dt', {}, name), h('dd', { 'data-test': test }, value));

/** @typedef {import('../shapes.js').Screen<'/api/screens/baskets/{items}'>} BasketScreen */
/** What the delivery costs, in cents; null while it is asked for, undefined where the answer lacks it. @typedef {number | null | undefined} Delivery */

/** @param {{items: Item[], delivery: Delivery, stockOf: (sku: string) => StockLevel, signedIn: boolean, recognised: boolean}} state */
function basketView({ items, delivery, stockOf, signedIn, recognised }) {
  const goods = items.reduce((sum, item) => sum + item.quantity * item.price_cents, 0);
  const count = items.reduce((sum, item) => sum + item.quantity, 0);
  const currency = items[0]?.currency ?? 'EUR';
  const known = typeof delivery === 'number';
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
              sumView(plural(texts.items, count), money(goods, currency), { test: 'goods' }),
              sumView(
                texts.basket.delivery,
                known ? money(delivery, currency) : delivery === null ? '…' : texts.basket.deliveryLater,
                { test: 'basket-delivery', class: known ? '' : 'unpriced' },
              ),
              h(
                'div',
                { class: 'grand' },
                h('dt', {}, texts.order.total),
                h(
                  'dd',
                  { class: 'price big', 'data-test': 'total' },
                  money(goods + (delivery ?? 0), currency),
                ),
              ),
            ),
            cardsView(),
            orderButton({
              signedIn,
              recognised,
              asking: delivery === null,
              delivery_cents: delivery ?? null,
            }),
            h('p', { class: 'quiet' }, texts.basket.what),
          ),
        ),
  ];
}

/** @type {import('../router.js').View} */
export function basket(visit) {
  const stock = useStock(visit);
  /** The items whose delivery was asked for. @type {{items: string, end: () => void, resource: import('../resource.js').Resource<BasketScreen>} | null} */
  let asked = null;

  function watch() {
    stock.watch(basketItems().map((item) => item.sku));
    const items = basketItems()
      .map(({ sku, quantity }) => `${sku}:${quantity}`)
      .join();
    if (items === (asked?.items ?? '')) return;
    asked?.end();
    asked = items ? ask(items) : null;
  }

  /** @param {string} items */
  function ask(items) {
    /** @type {(() => void)[]} */
    const leaves = [];
    const resource = useScreen(
      { onLeave: (leave) => void leaves.push(leave) },
      '/api/screens/baskets/{items}',
      { items },
      { parts: (data) => [data.delivery] },
    );
    return { items, resource, end: () => leaves.splice(0).forEach((leave) => leave()) };
  }

  /** @returns {Delivery} */
  function delivery() {
    const { data = null, problem = null } = asked?.resource ?? {};
    if (!data) return problem ? undefined : null;
    return data.delivery.state === 'missing' ? undefined : data.delivery.data.price_cents;
  }

  visit.onLeave(onBasket(watch));
  visit.onLeave(() => asked?.end());
  watch();
  return {
    title: () => texts.basket.title,
    draw: () =>
      basketView({
        items: basketItems(),
        delivery: delivery(),
        stockOf: stock.of,
        signedIn: user() !== null,
        recognised: !isSessionUnknown(),
      }),
  };
}
