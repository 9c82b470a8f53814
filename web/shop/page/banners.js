/**
 * Two banners: the page may be out of date (since when, what that means for an order, how many orders wait), and a sign-in
 * is about to end (how much time is left, and how to stay signed in). The second one never warns of an end that was
 * postponed meanwhile, for example in another tab: when the page is shown again, the gateway is asked again.
 */
import { seconds } from './format.js';
import { client } from './live.js';
import { liveOrders } from './orders.js';
import { h } from './render.js';
import { invalidate } from './schedule.js';
import { onSession, refreshSession, sessionEnds, signInUrl, user } from './session.js';
import { interpolate, plural, texts } from './texts.js';

/** Milliseconds: when the stream is back within this time, no banner is shown. */
const SHORT = 1500;

let late = false;

export function startFreshness() {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  client.connection.subscribe((state) => {
    clearTimeout(timer);
    invalidate();
    if (state === 'live') late = false;
    else
      timer = setTimeout(() => {
        late = true;
        invalidate();
      }, SHORT);
  });
}

export function freshnessView() {
  const state = client.connection.get();
  const away = user() !== null && (state === 'offline' || (late && ['stale', 'connecting'].includes(state)));
  return h(
    'p',
    {
      class: 'freshness',
      id: 'freshness',
      'data-test': 'freshness',
      role: 'status',
      'data-state': away && state,
      hidden: !away,
    },
    away && awayView(state),
  );
}

/** @param {string} state */
function awayView(state) {
  const { heardAt } = client.status();
  const waiting = liveOrders.get().filter((order) => order.pending && order.version < 0).length;
  return [
    h('strong', {}, state === 'offline' ? texts.freshness.offline : texts.freshness.lost),
    heardAt !== null &&
      h(
        'span',
        {},
        ` ${interpolate(texts.freshness.since, { time: seconds(new Date(heardAt).toISOString()) })}`,
      ),
    h(
      'span',
      { 'data-test': 'waiting' },
      ` ${waiting ? plural(texts.freshness.waiting, waiting) : texts.freshness.goOn}`,
    ),
  ];
}

const WARN = 60; // seconds before the end
const LONGEST = 2 ** 31 - 1; // milliseconds that a timer can wait

/** Seconds until the sign-in ends; null while there is nothing to warn of. @type {number | null} */
let left = null;

export function startExpiry() {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  function check() {
    clearTimeout(timer);
    // The time from the gateway's answer, or a later one from the stream.
    const seconds = Math.ceil((sessionEnds() - Date.now()) / 1000);
    left = user() !== null && seconds <= WARN ? Math.max(0, seconds) : null;
    invalidate();
    if (left !== null) timer = setTimeout(left > 0 ? check : ask, 1000);
    else if (user()) timer = setTimeout(check, Math.min(LONGEST, (seconds - WARN) * 1000));
  }

  /** Ask the gateway whether the session still ends soon. */
  const ask = () => void refreshSession().catch(() => (timer = setTimeout(ask, 5000)));

  // Timers stop while a machine sleeps, and another tab may have signed in again.
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) return;
    if (left !== null) ask();
    check();
  });
  // The warning is withdrawn: the stream continues with a newer sign-in.
  client.sessionExpiresAt.subscribe((at) => (at === null && left !== null ? ask() : check()));
  onSession(check);
  check();
}

export const expiryView = () =>
  h(
    'p',
    {
      class: 'freshness expiry',
      id: 'expiry',
      'data-test': 'expiry',
      role: 'status',
      hidden: left === null,
    },
    left !== null && [
      h(
        'span',
        {},
        h('strong', {}, texts.expiry.soon),
        h('span', { class: 'left', 'aria-hidden': true }, left > 0 && ` ${plural(texts.expiry.left, left)}`),
      ),
      h('a', { class: 'button small', 'data-test': 'stay', href: signInUrl() }, texts.expiry.stay),
    ],
  );
