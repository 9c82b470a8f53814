/** The page for an unknown address. */
import { h } from '../render.js';
import { texts } from '../texts.js';

/** @type {import('../router.js').View} */
export const lost = () => ({
  title: () => texts.lost.title,
  draw: () =>
    h(
      'section',
      { class: 'card centred' },
      h('h1', {}, texts.lost.title),
      h('p', {}, texts.lost.what),
      h('a', { class: 'button primary', href: '/' }, texts.lost.back),
    ),
});
