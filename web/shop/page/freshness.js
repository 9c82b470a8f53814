/** The banner for a page that may be out of date: since when, what that means for an order, how many orders wait. */
import { seconds } from './format.js';
import { client } from './live.js';
import { liveOrders } from './orders.js';
import { user } from './session.js';
import { h } from './render.js';
import { invalidate } from './schedule.js';
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
