/** The start page: every product, with its stock. */
import { drawing } from '../art.js';
import { addToBasket, inBasket } from '../basket.js';
import { offerView } from '../demo.js';
import { money } from '../format.js';
import { partView, problemCard } from '../parts.js';
import { h } from '../render.js';
import { learnStock, useScreen, useStock } from '../screen.js';
import { stockBadge } from '../stock.js';
import { interpolate, texts } from '../texts.js';
import { announce, toast } from '../toast.js';

/** @typedef {import('../shapes.js').Screen<'/api/screens/products'>} Shelves */
/** @typedef {import('../screen.js').StockLevel} StockLevel */

/** @param {import('../shapes.js').Product} product @param {number} [quantity] */
export function putInBasket(product, quantity = 1) {
  const { sku, name, price_cents, currency, art } = product;
  if (addToBasket({ sku, name, price_cents, currency, art, quantity }))
    announce(interpolate(texts.home.added, { name }));
  else toast(texts.home.full, { tone: 'bad' });
}

/** How many of it are in the basket, as the way there. @param {string} sku */
export function inBasketView(sku) {
  const count = inBasket(sku);
  return (
    count > 0 &&
    h(
      'a',
      { class: 'in-basket', href: '/basket', 'data-test': 'in-basket' },
      interpolate(texts.home.inBasket, { count }),
    )
  );
}

/** @param {import('../shapes.js').Product} product @param {StockLevel} level */
const card = (product, level) =>
  h(
    'li',
    { key: product.sku, class: 'product', 'data-test': 'product', 'data-sku': product.sku },
    h(
      'a',
      {
        class: 'tile',
        href: `/products/${product.sku}`,
        'data-art': product.art,
        tabindex: -1,
        'aria-hidden': true,
      },
      drawing(product.art),
    ),
    h(
      'div',
      { class: 'product-text' },
      h('h2', {}, h('a', { href: `/products/${product.sku}` }, product.name)),
      h('span', { class: 'price' }, money(product.price_cents, product.currency)),
      stockBadge(product.sku, level),
      h(
        'button',
        {
          type: 'button',
          class: 'add',
          'data-test': 'add-to-basket',
          'data-sku': product.sku,
          'aria-label': interpolate(texts.home.addNamed, { name: product.name }),
          disabled: level.left === 0,
          onclick: () => putInBasket(product),
        },
        texts.home.add,
      ),
    ),
    inBasketView(product.sku),
  );

const loadingCard = () =>
  h(
    'li',
    { class: 'product loading', 'aria-hidden': true },
    h('div', { class: 'tile skeleton' }),
    h('div', { class: 'skeleton' }),
    h('div', { class: 'skeleton' }),
  );

/** @param {{shelves: import('../resource.js').Resource<Shelves>, stockOf: (sku: string) => StockLevel}} state */
const homeView = ({ shelves: { data, problem, reload }, stockOf }) =>
  h(
    'div',
    {},
    h('section', { class: 'hero' }, h('h1', {}, texts.home.title), h('p', {}, texts.home.lead), offerView()),
    h(
      'div',
      {},
      problem
        ? problemCard(problem, { retry: reload, title: texts.home.cannotBeShown })
        : data &&
            data.stock.state !== 'ready' &&
            h(
              'div',
              { class: 'card slim' },
              partView(texts.home.liveStock, data.stock, () => null, reload),
            ),
    ),
    h(
      'ul',
      { class: 'products', 'aria-label': texts.home.products },
      data
        ? data.products.map((product) => card(product, stockOf(product.sku)))
        : !problem && Array.from({ length: 8 }, loadingCard),
    ),
  );

/** The last answer, shown at once on coming back while a new one is fetched. @type {Shelves | null} */
let last = null;

/** @type {import('../router.js').View} */
export function home(visit) {
  const stock = useStock(visit);

  /** @param {Shelves} data */
  function received(data) {
    last = data;
    if (data.stock.state !== 'missing') learnStock(data.stock.data.levels);
    stock.watch(data.products.map((product) => product.sku));
  }

  if (last) received(last);
  const shelves = useScreen(
    visit,
    '/api/screens/products',
    {},
    {
      initial: last,
      received,
      parts: (data) => [data.stock],
    },
  );
  return { title: () => 'Waypost', draw: () => homeView({ shelves, stockOf: stock.of }) };
}
