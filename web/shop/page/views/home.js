/** The start page: every product, with its stock. */
import { problemOf, screen } from '../api.js';
import { drawing } from '../art.js';
import { addToBasket } from '../basket.js';
import { fill, h } from '../dom.js';
import { money } from '../format.js';
import { learnStock, stockWatch } from '../live.js';
import { onPerson, who } from '../person.js';
import { createPatience, drawPart, drawProblem, lacking, skeleton } from '../parts.js';
import { stockBadge } from '../stock.js';
import { toast } from '../toast.js';

/** @param {import('../shapes.js').Product} product @param {number} [quantity] */
export function putInBasket(product, quantity = 1) {
  const { sku, name, price_cents, currency, art } = product;
  if (addToBasket({ sku, name, price_cents, currency, art, quantity })) {
    toast(`${name} is in your basket.`, { key: 'basket', link: { href: '/basket', text: 'View basket' } });
  } else {
    toast('The basket is full: an order has at most 20 different items.', { tone: 'bad' });
  }
}

/** @param {import('../shapes.js').Product} product @param {(leave: () => void) => void} onLeave */
function card(product, onLeave) {
  const add = h(
    'button',
    {
      type: 'button',
      class: 'add',
      'data-test': 'add-to-basket',
      'data-sku': product.sku,
      'aria-label': `Add ${product.name} to basket`,
      onclick: () => putInBasket(product),
    },
    'Add',
  );
  return h(
    'li',
    { class: 'product', 'data-test': 'product', 'data-sku': product.sku },
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
      stockBadge(product.sku, onLeave, (left) => (add.disabled = left === 0)),
      add,
    ),
  );
}

/** @typedef {import('../shapes.js').Screen<'/api/screens/products'>} Shelves */

/** @type {Shelves | null} the last answer, shown at once on coming back while a new one is fetched */
let last = null;

/** @type {import('../router.js').View} */
export function home({ onLeave }) {
  const note = h('div');
  const grid = h('ul', { class: 'products', 'aria-label': 'Products' });
  let gone = false;
  onLeave(() => (gone = true));
  const patience = createPatience(load, onLeave);
  const watchStock = stockWatch(onLeave);
  // Signing out deletes the stream's data, and the stock with it.
  onLeave(onPerson(() => who() === null && load()));

  /** @param {Shelves} data */
  function draw(data) {
    if (data.stock.state !== 'missing') learnStock(data.stock.data.levels);
    watchStock(data.products.map((product) => product.sku));
    fill(
      note,
      data.stock.state === 'ready'
        ? null
        : h(
            'div',
            { class: 'card slim' },
            drawPart('Live stock', data.stock, () => null, load),
          ),
    );
    fill(
      grid,
      data.products.map((product) => card(product, onLeave)),
    );
  }

  async function load() {
    try {
      last = await screen('/api/screens/products', {});
      if (gone) return;
      draw(last);
      patience(last.stock);
    } catch (error) {
      if (gone) return;
      const problem = problemOf(error);
      fill(note, drawProblem(problem, { retry: load, title: 'The products cannot be shown' }));
      if (!last) fill(grid);
      patience(...lacking(problem));
    }
  }

  if (last) draw(last);
  else fill(grid, skeleton(8));
  void load();
  return {
    title: 'Waypost',
    body: h(
      'div',
      {},
      h(
        'section',
        { class: 'hero' },
        h('h1', {}, 'Good things, and where they are right now.'),
        h('p', {}, 'Stock is live. Every order shows each step as it happens, and also when a step fails.'),
      ),
      note,
      grid,
    ),
  };
}
