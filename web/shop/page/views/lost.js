/** The page for an unknown address. */
import { h } from '../dom.js';

/** @type {import('../router.js').View} */
export function lost() {
  const body = h(
    'section',
    { class: 'card centred' },
    h('h1', {}, 'Nothing here'),
    h('p', {}, 'There is no such page in the shop.'),
    h('a', { class: 'button primary', href: '/' }, 'Back to the shop'),
  );
  return { title: 'Nothing here', body };
}
