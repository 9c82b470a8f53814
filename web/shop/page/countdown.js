/** "in 8 s", counted down in place. One timer for the whole page; it is stopped while nothing counts. */
import { h, say } from './dom.js';

/** @type {ReturnType<typeof setInterval> | undefined} */
let clock;

/** @param {string} until RFC 3339 */
function words(until) {
  const left = Math.ceil((Date.parse(until) - Date.now()) / 1000);
  return left > 0 ? `next try in ${left} s` : 'being tried now';
}

function tick() {
  const counting = document.querySelectorAll('[data-until]');
  for (const element of counting) say(element, words(element.getAttribute('data-until') ?? ''));
  if (counting.length === 0) {
    clearInterval(clock);
    clock = undefined;
  }
}

/** @param {string} until RFC 3339 @returns {Element} */
export function countdown(until) {
  clock ??= setInterval(tick, 500);
  return h('span', { 'data-until': until }, words(until));
}
