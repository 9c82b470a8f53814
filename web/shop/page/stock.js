/** The number left in stock. */
import { h } from './render.js';
import { interpolate, texts } from './texts.js';

const FEW = 5;

/** @param {string} sku @param {import('./screen.js').StockLevel} level */
export function stockBadge(sku, { left, moves }) {
  const level = left === null ? 'unknown' : left === 0 ? 'none' : left <= FEW ? 'few' : 'many';
  return h(
    'span',
    {
      key: `stock ${moves}`, // a new element begins its animation
      class: moves > 0 ? 'stock moved' : 'stock',
      'data-test': 'stock',
      'data-sku': sku,
      'data-level': level,
      'data-available': left,
    },
    h('i', { 'aria-hidden': true }),
    h('span', {}, interpolate(texts.stock[level], { left: left ?? 0 })),
  );
}
