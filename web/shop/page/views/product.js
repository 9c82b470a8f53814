/** One product: its description, its stock, and when it would arrive. */
import { drawing } from '../art.js';
import { money, weight } from '../format.js';
import { partView, problemCard, skeleton } from '../parts.js';
import { h } from '../render.js';
import { invalidate } from '../schedule.js';
import { learnStock, useScreen, useStock } from '../screen.js';
import { stockBadge } from '../stock.js';
import { interpolate, plural, texts } from '../texts.js';
import { inBasketView, putInBasket } from './home.js';

/** @typedef {import('../shapes.js').Screen<'/api/screens/products/{sku}'>} ProductScreen */

const MOST = 99;

/** @param {number} least @param {number} most */
const daysView = (least, most) =>
  least === most
    ? plural(texts.product.days, least)
    : interpolate(texts.product.daysBetween, { least, most });

const unknownView = () =>
  h(
    'section',
    { class: 'card centred' },
    h('h1', {}, texts.product.unknown),
    h('p', {}, texts.product.unknownWhat),
    h('a', { class: 'button primary', href: '/' }, texts.product.all),
  );

/**
 * @param {{resource: import('../resource.js').Resource<ProductScreen>, quantity: number, choose: (quantity: number) => void,
 *   stockOf: (sku: string) => import('../screen.js').StockLevel}} state
 */
function productView({ resource: { data, problem, reload }, quantity, choose, stockOf }) {
  if (problem && (problem.status === 404 || problem.status === 422)) return unknownView();
  if (!data)
    return problem
      ? [
          h('h1', {}, texts.product.title),
          problemCard(problem, { retry: reload, title: texts.product.cannotBeShown }),
        ]
      : h(
          'div',
          { class: 'product-page', 'aria-hidden': true },
          h('div', { class: 'tile skeleton' }),
          h('div', { class: 'product-side' }, skeleton(3)),
        );
  const { product: item, stock, delivery } = data;
  const level = stockOf(item.sku);
  return [
    problem && problemCard(problem, { retry: reload, title: texts.product.cannotBeShown }),
    h(
      'nav',
      { class: 'crumbs', 'aria-label': texts.page.here },
      h('a', { href: '/' }, texts.page.shop),
      h('span', {}, item.category),
    ),
    h(
      'div',
      { class: 'product-page' },
      h('div', { class: 'tile', 'data-art': item.art }, drawing(item.art)),
      h(
        'div',
        { class: 'product-side' },
        h('h1', {}, item.name),
        h('p', { class: 'price big' }, money(item.price_cents, item.currency)),
        h('p', { class: 'lead' }, item.description),
        h(
          'div',
          { class: 'buy' },
          h('label', { class: 'unseen', for: 'quantity' }, texts.product.quantity),
          h('input', {
            type: 'number',
            min: 1,
            max: MOST,
            value: quantity,
            inputmode: 'numeric',
            id: 'quantity',
            'data-test': 'quantity',
            onchange({ currentTarget }) {
              const chosen = Math.min(MOST, Math.max(1, Math.round(Number(currentTarget.value)) || 1));
              currentTarget.value = chosen;
              choose(chosen);
            },
          }),
          h(
            'button',
            {
              type: 'button',
              class: 'primary',
              'data-test': 'add-to-basket',
              'data-sku': item.sku,
              disabled: level.left === 0,
              onclick: () => putInBasket(item, quantity),
            },
            texts.product.add,
          ),
          stockBadge(item.sku, level),
          inBasketView(item.sku),
        ),
        stock.state === 'missing' && partView(texts.product.stock, stock, () => null, reload),
        h(
          'dl',
          { class: 'facts' },
          h(
            'div',
            {},
            h('dt', {}, texts.product.delivery),
            h(
              'dd',
              { 'data-test': 'delivery' },
              partView(
                texts.product.deliveryEstimate,
                delivery,
                (estimate) =>
                  h(
                    'p',
                    {},
                    `${daysView(estimate.days_min, estimate.days_max)}, `,
                    h('span', {}, money(estimate.price_cents, estimate.currency)),
                  ),
                reload,
              ),
            ),
          ),
          h('div', {}, h('dt', {}, texts.product.weight), h('dd', {}, weight(item.weight_g))),
        ),
      ),
    ),
  ];
}

/** @type {import('../router.js').View} */
export function product(visit) {
  const { id } = visit;
  const stock = useStock(visit);
  stock.watch([id]);
  let quantity = 1;
  const resource = useScreen(
    visit,
    '/api/screens/products/{sku}',
    { sku: id },
    {
      parts: (data) => [data.stock, data.delivery],
      received: (data) => data.stock.state !== 'missing' && learnStock([data.stock.data]),
    },
  );
  const choose = (/** @type {number} */ chosen) => {
    quantity = chosen;
    invalidate();
  };
  return {
    title: () => resource.data?.product.name ?? texts.product.title,
    draw: () => productView({ resource, quantity, choose, stockOf: stock.of }),
  };
}
