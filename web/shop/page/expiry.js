/**
 * The banner before a sign-in ends: how much time is left, and how to stay signed in. It never warns of an end that
 * was postponed meanwhile, for example in another tab: when the page is shown again, the gateway is asked again.
 */
import { client } from './live.js';
import { onSession, refreshSession, signInUrl, sessionEnds, user } from './session.js';
import { h } from './render.js';
import { invalidate } from './schedule.js';
import { plural, texts } from './texts.js';

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
