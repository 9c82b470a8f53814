/** Displays while things break: breakers, the stream, the last screens' timings, orders that need attention. */
import { fill, h, say } from '../dom.js';
import { shortId } from '../format.js';
import { client } from '../live.js';
import { timings } from '../timings.js';
import { trying } from '../words.js';

/** @typedef {import('./services.js').Press} Press */

/** @type {Record<string, string>} */
const STREAM = {
  connecting: 'joining',
  live: 'live',
  stale: 'joining again',
  offline: 'no network',
  stopped: 'not signed in',
};

export function createBreakers() {
  const element = h('ul', { class: 'lamps', 'aria-label': 'Breakers' });
  let drawn = '';
  return {
    element,
    /** @param {Record<string, string>} breakers */
    update(breakers) {
      const next = JSON.stringify(breakers);
      if (next === drawn) return;
      drawn = next;
      fill(
        element,
        Object.entries(breakers).map(([name, state]) =>
          h(
            'li',
            { 'data-test': 'breaker', 'data-service': name, 'data-state': state },
            h('i', { 'aria-hidden': true }),
            h('span', {}, name),
            h('span', { class: 'quiet' }, state),
          ),
        ),
      );
    },
  };
}

export function createStreamGauge() {
  const rows = /** @type {Record<string, any>} */ ({});
  const element = h(
    'dl',
    { class: 'readings', 'data-test': 'stream' },
    [
      ['state', 'This page'],
      ['position', 'Last position'],
      ['heard', 'Last sign of life'],
      ['streams', 'Streams open at the gateway'],
    ].map(([key = '', name]) => [h('dt', {}, name), (rows[key] = h('dd', { 'data-test': `stream-${key}` }))]),
  );
  return {
    element,
    /** @param {number} streams */
    update(streams) {
      const { position, heardAt } = client.status();
      const state = client.connection.get();
      element.setAttribute('data-state', state);
      say(rows.state, STREAM[state] ?? state);
      say(rows.position, position ?? 'none yet');
      say(rows.heard, heardAt === null ? 'none yet' : `${Math.round((Date.now() - heardAt) / 1000)} s ago`);
      say(rows.streams, String(streams));
    },
  };
}

/** @param {import('../timings.js').Share} share @param {number} longest */
function bar({ name, start, milliseconds, outcome }, longest) {
  const line = h('i', { 'aria-hidden': true });
  line.style.marginInlineStart = `${(start / longest) * 100}%`;
  line.style.width = `${Math.max(1, (milliseconds / longest) * 100)}%`;
  return h(
    'li',
    { 'data-test': 'share', 'data-outcome': outcome },
    h('span', { class: 'share-name' }, name),
    h('span', { class: 'share-line' }, line),
    h(
      'span',
      { class: 'share-time' },
      `${Math.round(milliseconds)} ms`,
      outcome !== 'ok' && h('b', {}, ` ${outcome}`),
    ),
  );
}

export function createWaterfall() {
  const element = h('ol', { class: 'waterfall', 'data-test': 'waterfall' });
  /** @type {unknown} */
  let drawn = null;
  return {
    element,
    update() {
      const taken = timings();
      if (taken === drawn) return;
      drawn = taken;
      fill(
        element,
        taken.map(({ path, status, complete, milliseconds, shares }) => {
          const longest = Math.max(
            milliseconds,
            1,
            ...shares.map((share) => share.start + share.milliseconds),
          );
          return h(
            'li',
            {},
            h(
              'p',
              {},
              h('code', {}, path.replace('/api/screens/', '')),
              h(
                'span',
                { class: 'quiet' },
                `${status}${complete ? '' : ', incomplete'}, ${Math.round(milliseconds)} ms`,
              ),
            ),
            shares.length > 0
              ? h(
                  'ul',
                  {},
                  shares.map((share) => bar(share, longest)),
                )
              : h('p', { class: 'quiet' }, 'No service was called.'),
          );
        }),
      );
    },
  };
}

/** @param {Press} press */
export function createDesk(press) {
  const element = h('div', { class: 'desk' });
  let drawn = '';
  return {
    element,
    /** @param {any[]} stuck */
    update(stuck) {
      const next = JSON.stringify(stuck);
      if (next === drawn) return;
      drawn = next;
      element.hidden = stuck.length === 0;
      fill(
        element,
        h('h3', {}, 'Orders that need an operator'),
        h(
          'ul',
          {},
          stuck.map((order) =>
            h(
              'li',
              { 'data-test': 'stuck', 'data-order': order.id },
              h(
                'span',
                {},
                h('code', {}, shortId(order.id)),
                ` ${trying({ ...order, data: order })?.what ?? order.step}, attempt ${order.attempt}`,
              ),
              h(
                'span',
                { class: 'actions' },
                [
                  ['retry', 'Try again now'],
                  ['give-up', 'Give up'],
                ].map(([operation, text]) =>
                  h(
                    'button',
                    {
                      type: 'button',
                      class: 'small',
                      'data-test': operation,
                      onclick: () => press('POST', `/demo/orders/${order.id}/${operation}`),
                    },
                    text,
                  ),
                ),
              ),
            ),
          ),
        ),
      );
    },
  };
}
