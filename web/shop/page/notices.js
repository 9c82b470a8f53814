/**
 * Results of commands, shown wherever the person is: refusals with the problem and a way back, ends of orders. Where the
 * orders are on the screen, they show it and it is announced; elsewhere it is a message.
 */
import { ended } from '/client/index.js';
import { problemOf, screen } from './api.js';
import { addToBasket, chooseCard, reprice } from './basket.js';
import { client } from './live.js';
import { keyOf, liveOrders } from './orders.js';
import { problemCard, titleOf } from './parts.js';
import { signInUrl } from './session.js';
import { h } from './render.js';
import { go, shown } from './router.js';
import { invalidate } from './schedule.js';
import { interpolate, texts } from './texts.js';
import { announce, announceUrgently, toast } from './toast.js';
import { noteProblem } from './diagnostics.js';
import { label, message } from './words.js';

/** @typedef {{id: string, problem: import('/client/index.js').Problem, items: import('./basket.js').Item[]}} Notice */

const MOST = 5;

/** @type {Notice[]} newest first */
let notices = [];

/** @param {Notice[]} next */
function become(next) {
  notices = next.slice(0, MOST);
  invalidate();
}

/** @param {Notice} notice */
const drop = (notice) => become(notices.filter((other) => other !== notice));

/** @param {Notice} notice */
function noticeView(notice) {
  const { id, problem, items } = notice;
  const repriced = problem.code === 'price-changed';
  return h(
    'div',
    { key: id, 'data-test': 'refusal' },
    problemCard(problem, {
      announced: true,
      title: items.length ? texts.notice.notPlaced : texts.notice.notPossible,
      actions: h(
        'div',
        { class: 'actions' },
        problem.status === 401 && h('a', { class: 'button primary', href: signInUrl() }, texts.person.signIn),
        items.length > 0 &&
          h(
            'button',
            {
              type: 'button',
              'data-test': 'put-back',
              onclick() {
                drop(notice);
                putBack(items, repriced);
              },
            },
            repriced ? texts.notice.newPrice : texts.order.putBack,
          ),
        h('button', { type: 'button', class: 'plain', onclick: () => drop(notice) }, texts.page.dismiss),
      ),
    }),
  );
}

/** Refusals, where orders are shown. */
export const noticesView = () => h('div', { class: 'notices' }, notices.map(noticeView));

/** Back in the basket, to be paid with the other card. @param {import('./basket.js').Item[]} items @param {string} declined */
export function payOtherwise(items, declined) {
  chooseCard(declined === 'second' ? 'first' : 'second');
  putBack(items);
}

/** @param {import('./basket.js').Item[]} items @param {boolean} [repriced]  With the prices of now, to be looked at before they are ordered again. */
export function putBack(items, repriced = false) {
  for (const item of items) addToBasket(item);
  go('/basket');
  if (repriced)
    screen('/api/screens/products', {}).then(
      ({ products }) => reprice(products),
      (error) =>
        toast(interpolate(texts.notice.oldPrices, { why: titleOf(problemOf(error)) }), { tone: 'bad' }),
    );
}

/**
 * Show the result of an operation, wherever the person is by then.
 * @param {import('/client/index.js').Operation} operation
 * @param {import('./basket.js').Item[]} [items]  The items of the order.
 */
export function follow(operation, items = []) {
  // `settled`, because a retry after the last attempt may still be refused.
  void operation.settled.then(({ kind, problem }) => {
    if (kind !== 'rejected' || problem === null) return; // the order's row shows the rest
    noteProblem(problem);
    become([{ id: operation.id, problem, items }, ...notices]);
    const why = titleOf(problem);
    const text = items.length ? interpolate(texts.notice.notPlacedWhy, { why }) : `${why}.`;
    if (/^\/orders\b/.test(shown().path)) announceUrgently(text);
    else toast(text, { tone: 'bad', link: { href: '/orders', text: texts.notice.details } });
  });
  return operation;
}

/** Show the results of commands that a reload interrupted, too. */
export const followRestored = () => client.onRestored((operation) => void follow(operation));

/** Announce each change of an order while the page is open, and show its end; orders of a snapshot are not new. */
export function announceOrders() {
  /** @type {Map<string, import('/client/index.js').Saga>} */
  let known = new Map();
  liveOrders.subscribe((orders) => {
    for (const order of orders) {
      const before = known.get(keyOf(order));
      if (before && !order.pending && (before.status !== order.status || before.step !== order.step))
        announceOrder(order);
    }
    known = new Map(orders.map((order) => [keyOf(order), order]));
  });
}

/** @param {import('./shapes.js').LiveOrder} order */
function announceOrder(order) {
  const bad = ended(order) && order.status !== 'COMPLETED' && order.reason !== 'cancelled';
  const text = message(order)?.happened ?? label(order);
  const here = ['/orders', `/orders/${order.id}`].includes(shown().path);
  // The message of a bad end is announced itself.
  if (!bad) announce(interpolate(texts.notice.announced, { label: label(order) }));
  else if (here) announceUrgently(text);
  if (!ended(order) || here) return;
  const link = { href: `/orders/${order.id}`, text: texts.notice.see };
  if (order.status === 'COMPLETED') toast(texts.notice.onItsWay, { tone: 'good', link, announced: false });
  else toast(text, { tone: bad ? 'bad' : 'plain', link, announced: bad });
}
