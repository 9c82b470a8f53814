/** Short messages in the corner, and announcements for screen readers. */
import { h } from './dom.js';

const MOST = 3;

/** @param {string} text */
export function announce(text) {
  const region = document.getElementById('announce');
  if (region) region.textContent = text;
}

/** @param {string} key */
export function clearToast(key) {
  for (const note of document.querySelectorAll('.toast'))
    if (note.getAttribute('data-key') === key) note.remove();
}

/**
 * @param {string} text
 * @param {{tone?: 'plain' | 'good' | 'bad', link?: {href: string, text: string}, key?: string}} [options]  A toast replaces the one of the same key.
 */
export function toast(text, { tone = 'plain', link, key } = {}) {
  const region = /** @type {Element} */ (document.getElementById('toasts'));
  const note = h(
    'div',
    {
      class: 'toast',
      'data-test': 'toast',
      'data-tone': tone,
      'data-key': key,
      role: tone === 'bad' ? 'alert' : 'status',
    },
    h('span', {}, text),
    link && h('a', { href: link.href }, link.text),
    h(
      'button',
      { type: 'button', class: 'toast-close', 'aria-label': 'Dismiss', onclick: () => note.remove() },
      '×',
    ),
  );
  if (key) clearToast(key);
  region.append(note);
  while (region.children.length > MOST) region.firstElementChild?.remove();
  setTimeout(() => note.remove(), tone === 'bad' ? 12_000 : 5_000);
}
