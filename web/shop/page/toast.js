/**
 * Short messages below the header, and announcements for screen readers. A message is announced once, by one of two live
 * regions; the messages themselves are none. While the pointer or the focus is on a message, none disappears.
 *
 * A message is for what the page does not show: whoever has it on the screen announces it instead. It takes its room from
 * the page and covers nothing. The same text is never shown twice.
 */
import { h } from './render.js';
import { invalidate } from './schedule.js';
import { texts } from './texts.js';

const MOST = 3;
const MOST_WAITING = 20;
const APART = 50; // milliseconds between two announcements, so that each is drawn
const SHOWN = { plain: 5_000, good: 5_000, bad: 12_000 }; // milliseconds
const AT_LEAST = 1_000; // milliseconds that a message stays after the pointer or the focus has left it

// ---- announcements

/** What a live region says: one text after the other; of more than twenty that wait the oldest are dropped. */
function createAnnouncer() {
  /** @type {string[]} */
  let waiting = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let count = 0;
  let text = '';

  function next() {
    timer = undefined;
    const [first, ...rest] = waiting;
    if (first === undefined) return;
    waiting = rest;
    text = first;
    count += 1;
    timer = setTimeout(next, APART);
    invalidate();
  }

  return {
    /** @param {string} more */
    announce(more) {
      waiting = [...waiting, more].slice(-MOST_WAITING);
      if (timer === undefined) next();
    },
    /** The key makes an equal text a new one, which is announced again. */
    view: () => text && h('span', { key: count }, text),
  };
}

const polite = createAnnouncer();
const urgent = createAnnouncer();

export const announce = polite.announce;
export const announceUrgently = urgent.announce;

/** The two live regions. */
export const announcements = () => [
  h('div', { class: 'unseen', id: 'announce', 'aria-live': 'polite', 'aria-atomic': true }, polite.view()),
  h('div', { class: 'unseen', id: 'alert', role: 'alert', 'aria-atomic': true }, urgent.view()),
];

// ---- messages

/**
 * left: milliseconds that it is still shown. since: when that began to count.
 * @typedef {{id: number, text: string, tone: 'plain' | 'good' | 'bad', link?: {href: string, text: string}, left: number, since: number, timer?: ReturnType<typeof setTimeout>}} Toast
 */

/** @type {Toast[]} */
let toasts = [];
let count = 0;
let hovered = false;
/** @type {number | null} the message that has the focus */
let focused = null;
let paused = false;

/** @param {Toast} one */
function run(one) {
  one.since = Date.now();
  one.timer = setTimeout(() => drop(one), one.left);
}

/** The pointer or the focus has come or left. */
function hold() {
  const held = hovered || focused !== null;
  if (held === paused) return;
  paused = held;
  for (const one of toasts) {
    clearTimeout(one.timer);
    if (held) one.left = Math.max(AT_LEAST, one.left - (Date.now() - one.since));
    else run(one);
  }
}

/** @param {Toast} one */
function drop(one) {
  clearTimeout(one.timer);
  toasts = toasts.filter((other) => other !== one);
  // What is removed loses the pointer and the focus without an event.
  if (focused === one.id) focused = null;
  if (toasts.length === 0) hovered = false;
  hold();
  invalidate();
}

/**
 * @param {string} text
 * @param {object} [options]
 * @param {'plain' | 'good' | 'bad'} [options.tone]  A bad one is announced at once.
 * @param {{href: string, text: string}} [options.link]
 * @param {boolean} [options.announced]  false: it was announced in other words.
 */
export function toast(text, { tone = 'plain', link, announced = true } = {}) {
  toasts.filter((one) => one.text === text).forEach(drop);
  /** @type {Toast} */
  const one = { id: (count += 1), text, tone, link, left: SHOWN[tone], since: Date.now() };
  toasts = [...toasts, one];
  if (!paused) run(one);
  for (const old of toasts.slice(0, -MOST)) drop(old);
  if (announced) (tone === 'bad' ? urgent : polite).announce(text);
  invalidate();
}

export const messages = () =>
  h(
    'section',
    {
      class: 'toasts',
      id: 'toasts',
      'aria-label': texts.page.messages,
      onpointerenter: () => ((hovered = true), hold()),
      onpointerleave: () => ((hovered = false), hold()),
    },
    toasts.map((one) =>
      h(
        'div',
        {
          key: one.id,
          class: 'toast',
          'data-test': 'toast',
          'data-tone': one.tone,
          onfocusin: () => ((focused = one.id), hold()),
          onfocusout: () => ((focused = null), hold()),
        },
        h('span', {}, one.text),
        one.link && h('a', { href: one.link.href }, one.link.text),
        h(
          'button',
          {
            type: 'button',
            class: 'toast-close',
            'aria-label': texts.page.dismiss,
            onclick: () => drop(one),
          },
          '×',
        ),
      ),
    ),
  );
