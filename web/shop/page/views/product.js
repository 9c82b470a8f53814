/** One product: its description, its stock, and when it would arrive. */
import { problemOf, screen } from '../api.js';
import { drawing } from '../art.js';
import { fill, h } from '../dom.js';
import { money, plural } from '../format.js';
import { learnStock, stockWatch } from '../live.js';
import { onPerson, who } from '../person.js';
import { createPatience, drawPart, drawProblem, lacking } from '../parts.js';
import { stockBadge } from '../stock.js';
import { putInBasket } from './home.js';

/** @type {import('../router.js').View} */
export function product({ id = '', onLeave }) {
  const body = h(
    'div',
    {},
    h('div', { class: 'product-page' }, h('div', { class: 'tile skeleton' }), h('div')),
  );
  let gone = false;
  onLeave(() => (gone = true));
  const patience = createPatience(load, onLeave);
  onLeave(onPerson(() => who() === null && load()));
  stockWatch(onLeave)([id]);
  let quantity = 1;

  /** @param {import('../shapes.js').Screen<'/api/screens/products/{sku}'>} data */
  function draw({ product: item, stock, delivery }) {
    if (stock.state !== 'missing') learnStock([stock.data]);
    document.title = `${item.name} · Waypost`;
    const count = h('input', {
      type: 'number',
      min: 1,
      max: 99,
      value: quantity,
      inputmode: 'numeric',
      id: 'quantity',
      'data-test': 'quantity',
      onchange: () =>
        (count.value = quantity = Math.min(99, Math.max(1, Math.round(Number(count.value)) || 1))),
    });
    const add = h(
      'button',
      {
        type: 'button',
        class: 'primary',
        'data-test': 'add-to-basket',
        'data-sku': item.sku,
        onclick: () => putInBasket(item, quantity),
      },
      'Add to basket',
    );
    fill(
      body,
      h(
        'nav',
        { class: 'crumbs', 'aria-label': 'You are here' },
        h('a', { href: '/' }, 'Shop'),
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
            h('label', { class: 'unseen', for: 'quantity' }, 'Quantity'),
            count,
            add,
            stockBadge(item.sku, onLeave, (left) => (add.disabled = left === 0)),
          ),
          stock.state === 'missing' && drawPart('Stock', stock, () => null, load),
          h(
            'dl',
            { class: 'facts' },
            h(
              'div',
              {},
              h('dt', {}, 'Delivery'),
              h(
                'dd',
                { 'data-test': 'delivery' },
                drawPart(
                  'The delivery estimate',
                  delivery,
                  (estimate) =>
                    h(
                      'p',
                      {},
                      `${estimate.days_min === estimate.days_max ? plural(estimate.days_min, 'day') : `${estimate.days_min} to ${estimate.days_max} days`}, `,
                      h('span', {}, money(estimate.price_cents, estimate.currency)),
                    ),
                  load,
                ),
              ),
            ),
            h(
              'div',
              {},
              h('dt', {}, 'Weight'),
              h(
                'dd',
                {},
                item.weight_g >= 1000 ? `${(item.weight_g / 1000).toFixed(1)} kg` : `${item.weight_g} g`,
              ),
            ),
          ),
        ),
      ),
    );
  }

  async function load() {
    try {
      const data = await screen('/api/screens/products/{sku}', { sku: id });
      if (gone) return;
      draw(data);
      patience(data.stock, data.delivery);
    } catch (error) {
      if (gone) return;
      const problem = problemOf(error);
      if (problem.status === 404 || problem.status === 422) {
        fill(
          body,
          h(
            'section',
            { class: 'card centred' },
            h('h1', {}, 'No such product'),
            h('p', {}, 'It may no longer be for sale.'),
            h('a', { class: 'button primary', href: '/' }, 'See all products'),
          ),
        );
      } else {
        fill(body, drawProblem(problem, { retry: load, title: 'This product cannot be shown' }));
        patience(...lacking(problem));
      }
    }
  }

  void load();
  return { title: 'Product', body };
}
