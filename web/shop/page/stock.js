/** The number left in stock, updated while it is on the screen. */
import { h, say } from './dom.js';
import { stockOf } from './live.js';

const FEW = 5;

/** @param {string} sku @param {(leave: () => void) => void} onLeave @param {(left: number | null) => void} [onChange] */
export function stockBadge(sku, onLeave, onChange = () => {}) {
  const text = h('span');
  const badge = h(
    'span',
    { class: 'stock', 'data-test': 'stock', 'data-sku': sku },
    h('i', { 'aria-hidden': true }),
    text,
  );
  const value = stockOf(sku);
  /** @type {number | null} */
  let before = null;
  function update() {
    const left = value.get()?.data?.available ?? null;
    badge.setAttribute(
      'data-level',
      left === null ? 'unknown' : left === 0 ? 'none' : left <= FEW ? 'few' : 'many',
    );
    if (left !== null) badge.setAttribute('data-available', String(left));
    say(
      text,
      left === null
        ? 'Stock unknown'
        : left === 0
          ? 'Sold out'
          : left <= FEW
            ? `Only ${left} left`
            : `${left} in stock`,
    );
    if (before !== null && left !== null && before !== left) {
      badge.classList.remove('moved');
      void badge.offsetWidth; // restarts the animation
      badge.classList.add('moved');
    }
    before = left;
    onChange(left);
  }
  update();
  onLeave(value.subscribe(update));
  return badge;
}
