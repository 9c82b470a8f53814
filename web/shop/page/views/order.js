/** One order: its line of stops, every step with its time, its payment and its parcel. */
import { ended } from '/client/index.js';
import { artOf, drawing } from '../art.js';
import { money, seconds, shortId, time } from '../format.js';
import { cancelOrder, client } from '../live.js';
import { follow, noticesView } from '../notices.js';
import { verdictView } from '../order-row.js';
import { partView, problemCard, signInCard, skeleton } from '../parts.js';
import { isSessionUnknown, user } from '../session.js';
import { h } from '../render.js';
import { useScreen } from '../screen.js';
import { interpolate, number, texts } from '../texts.js';
import { trackView } from '../track.js';
import { isTrouble, label, moment, mood, service, entryOf } from '../words.js';

/** @typedef {import('../shapes.js').Order} Order */
/** @typedef {import('../shapes.js').Moment} Moment */
/** @typedef {import('../shapes.js').Screen<'/api/screens/orders/{id}'>} OrderScreen */
/** @typedef {import('../resource.js').Resource<OrderScreen>} Resource */
/** @typedef {import('../render.js').Child} Child */

const SETTLE = 250; // milliseconds after an event before the parts are fetched again
const MOST_STREAMED = 100;

/** One entry for each version, oldest first; the listed one if there are two. @param {readonly Moment[]} listed @param {readonly Moment[]} streamed */
function historyOf(listed, streamed) {
  const entries = new Map([...streamed, ...listed].map((entry) => [entry.version, entry]));
  return [...entries.values()].sort((a, b) => a.version - b.version);
}

/** @param {Moment} entry */
function attemptsView({ attempt, last_error }) {
  const why = last_error && service(last_error).before;
  return h(
    'em',
    { 'data-test': 'attempts' },
    ` ${
      why
        ? interpolate(texts.order.attemptAfter, { attempt, why })
        : interpolate(texts.order.attempt, { attempt })
    }`,
  );
}

/** Newest first, with the attempts of one step as one line. @param {readonly Moment[]} history */
function timeline(history) {
  const lines = history.filter((entry, at) => {
    const next = history[at + 1];
    return !next || next.status !== entry.status || next.step !== entry.step;
  });
  return h(
    'ol',
    { class: 'timeline' },
    lines
      .map((entry, at) => ({ entry, next: lines[at + 1] }))
      .toReversed()
      .map(({ entry, next }) =>
        h(
          'li',
          {
            key: entry.version,
            'data-status': entry.status,
            'data-step': entry.step ?? '',
            'data-bad': isTrouble(entry, next),
          },
          h('time', { datetime: entry.at }, seconds(entry.at)),
          h(
            'span',
            {},
            moment(entry, next),
            entry.attempt > 1 && entry.reason !== 'given-up' && !ended(entry) && attemptsView(entry),
            entry.note && h('q', {}, entry.note),
          ),
        ),
      ),
  );
}

/** @param {Order} order */
const cancelButton = (order) =>
  h(
    'button',
    {
      type: 'button',
      'data-test': 'cancel',
      onclick: () => follow(cancelOrder({ id: order.id, version: order.version })),
    },
    texts.order.cancel,
  );

/** @param {Order} order @param {string} began RFC 3339 */
function orderCard(order, began) {
  const cancellable = !order.pending && (order.status === 'PENDING' || order.status === 'RUNNING');
  return h(
    'article',
    {
      class: 'card order-page',
      'data-test': 'order',
      'data-order': order.id,
      'data-status': order.status,
      'data-step': order.step ?? '',
      'data-mood': mood(order),
    },
    h(
      'header',
      {},
      h(
        'div',
        {},
        h('h1', {}, interpolate(texts.order.numbered, { id: shortId(order.id) })),
        h('p', { class: 'quiet' }, time(began)),
      ),
      h('span', { class: 'chip' }, label(order)),
    ),
    trackView(order),
    verdictView(order),
    cancellable && cancelButton(order),
  );
}

/** @param {Order['data']} data */
const itemsCard = ({ lines, currency, delivery_cents, total_cents }) =>
  h(
    'section',
    { class: 'card items' },
    h('h2', {}, texts.order.items),
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
            h('span', { class: 'quiet' }, `${number(line.quantity)} × ${money(line.price_cents, currency)}`),
          ),
          h('span', { class: 'price' }, money(line.quantity * line.price_cents, currency)),
        ),
      ),
    ),
    h(
      'p',
      { class: 'sum' },
      h('span', {}, texts.basket.delivery),
      h('span', { 'data-test': 'order-delivery' }, money(delivery_cents, currency)),
    ),
    h(
      'p',
      { class: 'sum grand' },
      h('span', {}, texts.order.total),
      h('span', { class: 'price' }, money(total_cents, currency)),
    ),
  );

/** A refusal means that the service has nothing: that is an answer, not a failure. @param {import('../shapes.js').Part<unknown>} part */
const isNone = (part) => part.state === 'missing' && part.reason === 'refused';

/** @param {import('../shapes.js').Part<unknown>} part */
const awaited = (part) => (isNone(part) ? [] : [part]);

/**
 * @template T
 * @param {string} test
 * @param {{title: string, none: string, what: string}} named
 * @param {import('../shapes.js').Part<T>} part
 * @param {() => void} reload
 * @param {(data: T) => Child} view
 */
const partCard = (test, { title, none, what }, part, reload, view) =>
  h(
    'section',
    { class: 'card', 'data-test': test },
    h('h2', {}, title),
    isNone(part) ? h('p', { class: 'quiet' }, none) : partView(what, part, view, reload),
  );

/** @param {OrderScreen} data @param {() => void} reload @param {boolean} over  The order has ended. */
const partCards = ({ payment, shipment }, reload, over) => [
  partCard(
    'payment',
    { title: texts.order.payment, none: texts.order.notCharged, what: texts.order.thePayment },
    payment,
    reload,
    (charge) =>
      h(
        'p',
        {},
        h('strong', {}, entryOf(texts.paymentStatus, charge.status) ?? charge.status),
        ` ${money(charge.amount_cents, charge.currency)}`,
        h('br'),
        h('code', {}, charge.charge_id),
      ),
  ),
  partCard(
    'shipment',
    {
      title: texts.order.parcel,
      none: over ? texts.order.noParcel : texts.order.noParcelYet,
      what: texts.order.theParcel,
    },
    shipment,
    reload,
    (parcel) =>
      h(
        'p',
        {},
        h('strong', {}, entryOf(texts.shipmentStatus, parcel.status) ?? parcel.status),
        h('br'),
        `${texts.order.tracking} `,
        h('code', {}, parcel.tracking),
      ),
  ),
];

/** @param {{resource: Resource, live: Order | undefined, streamed: readonly Moment[], signedIn: boolean, recognised: boolean}} state */
function orderView({ resource: { data, problem, reload }, live, streamed, signedIn, recognised }) {
  const title = h('h1', {}, texts.order.title);
  if (!recognised) return [title, skeleton(2)];
  if (!signedIn) return [title, signInCard(texts.person.whyOrder)];
  const order = live && (!data || live.version >= data.order.version) ? live : data?.order;
  if (!order)
    return [
      title,
      problem
        ? problemCard(problem, {
            retry: reload,
            title: problem.status === 404 ? texts.order.unknown : texts.order.cannotBeShown,
          })
        : skeleton(2),
    ];
  const history = historyOf(data?.order.history ?? [], streamed);
  return [
    h(
      'nav',
      { class: 'crumbs', 'aria-label': texts.page.here },
      h('a', { href: '/orders' }, texts.orders.title),
      h('span', {}, shortId(order.id)),
    ),
    noticesView(),
    orderCard(order, history[0]?.at ?? order.at),
    h(
      'div',
      { class: 'order-grid' },
      h(
        'section',
        { class: 'card', 'aria-label': texts.order.steps },
        h('h2', {}, texts.order.steps),
        history.length
          ? timeline(history)
          : problem
            ? h('p', { class: 'quiet' }, texts.order.noHistory)
            : skeleton(1),
      ),
      itemsCard(order.data),
      data && partCards(data, reload, ended(order)),
    ),
  ];
}

/** @type {import('../router.js').View} */
export function order(visit) {
  const { id } = visit;
  const live = client.saga(id);
  /** @type {Moment[]} what the stream sent since the view was opened */
  let streamed = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  function reloadLater() {
    clearTimeout(timer);
    timer = setTimeout(resource.reload, SETTLE);
  }

  const resource = useScreen(
    visit,
    '/api/screens/orders/{id}',
    { id },
    {
      personal: true,
      parts: ({ payment, shipment }) => [...awaited(payment), ...awaited(shipment)],
      received(fresh) {
        const now = live.get();
        if (now && now.version > fresh.order.version && ended(now)) reloadLater();
      },
    },
  );
  visit.onLeave(() => clearTimeout(timer));
  visit.onLeave(
    live.subscribe((now) => {
      if (!now || now.pending) return;
      const { version, status, step, attempt, reason, at } = now;
      const { next_try_at, last_error } = now.data;
      const entry = { version, status, step, attempt, reason, at, next_try_at, last_error, note: null };
      streamed = [...streamed, entry].slice(-MOST_STREAMED);
      reloadLater();
    }),
  );
  return {
    title: () => texts.order.title,
    draw: () =>
      orderView({
        resource,
        live: live.get(),
        streamed,
        signedIn: user() !== null,
        recognised: !isSessionUnknown(),
      }),
  };
}
