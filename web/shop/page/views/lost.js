/** A path that leads nowhere. */
import { h } from '../dom.js';

/** @type {import('../router.js').View} */
export function lost() {
  const body = h(
    'section',
    { class: 'card centred' },
    h('h1', {}, 'Nothing here'),
    h('p', {}, 'This path leads nowhere in the shop.'),
    h('a', { class: 'button primary', href: '/' }, 'Back to the shop'),
  );
  return { title: 'Nothing here', body };
}
