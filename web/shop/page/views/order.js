/** One order: its line of stops, every step with its time, its payment and its parcel. */
import { ended } from '/client/index.js';
import { problemOf, screen } from '../api.js';
import { drawing } from '../art.js';
import { fill, h } from '../dom.js';
import { money, seconds, shortId, time } from '../format.js';
import { cancelOrder, client } from '../live.js';
import { follow, noticeRegion } from '../notices.js';
import { artOf, verdict } from '../order-row.js';
import { createPatience, drawPart, drawProblem, lacking, signInCard, skeleton } from '../parts.js';
import { lose, onPerson, who } from '../person.js';
import { createTrack } from '../track.js';
import { label, moment, mood, why } from '../words.js';

/** @typedef {import('../shapes.js').Order} Order */

const SETTLE = 250; // milliseconds after an event before the parts are fetched again

/** @type {Record<string, string>} */
const PAYMENT = { captured: 'Charged', refunded: 'Refunded' };
/** @type {Record<string, string>} */
const SHIPMENT = { booked: 'Booked', cancelled: 'Recalled' };

const lower = (/** @type {string} */ text) => text.charAt(0).toLowerCase() + text.slice(1);

/** @param {import('../shapes.js').Moment[]} history  Newest first, with the attempts of one step as one line. */
function timeline(history) {
  const lines = history.filter((entry, at) => {
    const next = history[at + 1];
    return !next || next.status !== entry.status || next.step !== entry.step;
  });
  return h(
    'ol',
    { class: 'timeline' },
    lines
      .toReversed()
      .map((entry) =>
        h(
          'li',
          { 'data-status': entry.status, 'data-step': entry.step ?? '' },
          h('time', { datetime: entry.at }, seconds(entry.at)),
          h(
            'span',
            {},
            moment(entry),
            entry.attempt > 1 &&
              entry.reason !== 'given-up' &&
              !ended(entry) &&
              h(
                'em',
                { 'data-test': 'attempts' },
                ` attempt ${entry.attempt}`,
                entry.last_error && `, ${lower(why(entry.last_error))} before`,
              ),
            entry.note && h('q', {}, entry.note),
          ),
        ),
      ),
  );
}

/** @type {import('../router.js').View} */
export function order({ id = '', onLeave }) {
  const body = h('div');
  const live = client.saga(id);
  const track = createTrack();
  /** @type {import('../shapes.js').Screen<'/api/screens/orders/{id}'> | null} */
  let data = null;
  /** @type {import('../shapes.js').Moment[]} what the stream sent since the screen was fetched */
  let heard = [];
  /** @type {import('/client/index.js').Problem | null} */
  let problem = null;
  let gone = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  onLeave(() => ((gone = true), clearTimeout(timer)));
  const patience = createPatience(load, onLeave);

  /** @returns {Order | undefined} */
  function newest() {
    const told = live.get();
    return told && (!data || told.version >= data.order.version) ? told : data?.order;
  }

  function draw() {
    if (!who()) return fill(body, signInCard('Sign in to see this order.'));
    const now = newest();
    if (!now)
      return fill(
        body,
        problem
          ? drawProblem(problem, {
              retry: load,
              title: problem.status === 404 ? 'No such order' : 'This order cannot be shown',
            })
          : skeleton(2),
      );
    const history = [...(data?.order.history ?? [])];
    for (const entry of heard)
      if (!history.some((other) => other.version === entry.version)) history.push(entry);
    history.sort((a, b) => a.version - b.version);
    const { lines } = now.data;
    const cancellable = !now.pending && (now.status === 'PENDING' || now.status === 'RUNNING');
    track.update(now);
    fill(
      body,
      h(
        'nav',
        { class: 'crumbs', 'aria-label': 'You are here' },
        h('a', { href: '/orders' }, 'Your orders'),
        h('span', {}, shortId(now.id)),
      ),
      noticeRegion(),
      h(
        'article',
        {
          class: 'card order-page',
          'data-test': 'order',
          'data-order': now.id,
          'data-status': now.status,
          'data-step': now.step ?? '',
          'data-mood': mood(now),
        },
        h(
          'header',
          {},
          h(
            'div',
            {},
            h('h1', {}, `Order ${shortId(now.id)}`),
            h('p', { class: 'quiet' }, time(history[0]?.at ?? now.at)),
          ),
          h('span', { class: 'chip' }, label(now)),
        ),
        track.element,
        verdict(now),
        cancellable &&
          h(
            'button',
            {
              type: 'button',
              'data-test': 'cancel',
              onclick: () => follow(cancelOrder({ id: now.id, version: now.version })),
            },
            'Cancel order',
          ),
      ),
      h(
        'div',
        { class: 'order-grid' },
        h(
          'section',
          { class: 'card', 'aria-label': 'Steps' },
          h('h2', {}, 'Steps'),
          history.length
            ? timeline(history)
            : problem
              ? h('p', { class: 'quiet' }, 'The history is not available right now.')
              : skeleton(1),
        ),
        h(
          'div',
          { class: 'stack' },
          h(
            'section',
            { class: 'card' },
            h('h2', {}, 'Items'),
            h(
              'ul',
              { class: 'lines' },
              lines.map((line) =>
                h(
                  'li',
                  { class: 'line' },
                  h('span', { class: 'tile tiny', 'data-art': artOf(line.sku) }, drawing(artOf(line.sku))),
                  h(
                    'div',
                    { class: 'line-text' },
                    h('a', { href: `/products/${line.sku}` }, line.name),
                    h(
                      'span',
                      { class: 'quiet' },
                      `${line.quantity} × ${money(line.price_cents, now.data.currency)}`,
                    ),
                  ),
                  h('span', { class: 'price' }, money(line.quantity * line.price_cents, now.data.currency)),
                ),
              ),
            ),
            h(
              'p',
              { class: 'sum' },
              h('span', {}, 'Total'),
              h('span', { class: 'price' }, money(now.data.total_cents, now.data.currency)),
            ),
          ),
          data &&
            h(
              'section',
              { class: 'card', 'data-test': 'payment' },
              h('h2', {}, 'Payment'),
              draft(data.payment, 'Nothing was charged.', 'The payment', (charge) =>
                h(
                  'p',
                  {},
                  h('strong', {}, PAYMENT[charge.status] ?? charge.status),
                  ` ${money(charge.amount_cents, charge.currency)}`,
                  h('br'),
                  h('code', {}, charge.charge_id),
                ),
              ),
            ),
          data &&
            h(
              'section',
              { class: 'card', 'data-test': 'shipment' },
              h('h2', {}, 'Parcel'),
              draft(data.shipment, 'No parcel yet.', 'The parcel', (parcel) =>
                h(
                  'p',
                  {},
                  h('strong', {}, SHIPMENT[parcel.status] ?? parcel.status),
                  h('br'),
                  'Tracking ',
                  h('code', {}, parcel.tracking),
                ),
              ),
            ),
        ),
      ),
    );
  }

  /** A refusal means that the service has nothing: that is an answer, not a failure. @param {import('../shapes.js').Part<unknown>} part */
  const refused = (part) => part.state === 'missing' && part.reason === 'refused';
  /** @param {import('../shapes.js').Part<unknown>} part */
  const awaited = (part) => (refused(part) ? [] : [part]);

  /** @template T @param {import('../shapes.js').Part<T>} part @param {string} none @param {string} what @param {(data: T) => any} show */
  function draft(part, none, what, show) {
    if (refused(part)) return h('p', { class: 'quiet' }, none);
    return drawPart(what, part, show, load);
  }

  async function load() {
    if (!who()) return draw();
    try {
      const fresh = await screen('/api/screens/orders/{id}', { id });
      if (gone) return;
      data = fresh;
      problem = null;
      patience(...awaited(fresh.payment), ...awaited(fresh.shipment));
      const now = live.get();
      if (now && now.version > fresh.order.version && ended(now)) later();
    } catch (error) {
      if (gone) return;
      problem = problemOf(error);
      if (problem.status === 401) return lose();
      patience(...lacking(problem));
    }
    draw();
  }

  function later() {
    clearTimeout(timer);
    timer = setTimeout(load, SETTLE);
  }

  onLeave(
    live.subscribe((now) => {
      if (now && !now.pending) {
        const { version, status, step, attempt, reason, at } = now;
        const { next_try_at, last_error } = now.data;
        const entry = { version, status, step, attempt, reason, at, next_try_at, last_error, note: null };
        heard = [...heard, entry].slice(-100);
        later();
      }
      draw();
    }),
  );
  onLeave(onPerson(load));
  draw();
  void load();
  return { title: 'Order', body };
}
