/** Results of commands, shown wherever the person is: refusals with the problem and a way back, ends of orders as toasts. */
import { ended } from '/client/index.js';
import { problemOf, screen } from './api.js';
import { addToBasket, reprice } from './basket.js';
import { fill, h } from './dom.js';
import { client } from './live.js';
import { keyOf, liveOrders } from './orders.js';
import { drawProblem } from './parts.js';
import { signInAt } from './person.js';
import { go } from './router.js';
import { announce, toast } from './toast.js';
import { label, message } from './words.js';

/** @typedef {{id: string, problem: import('/client/index.js').Problem, items: import('./basket.js').Item[]}} Notice */

/** @type {Notice[]} */
let notices = [];
const region = h('div', { class: 'notices' });

function draw() {
  fill(
    region,
    notices.map((notice) =>
      h(
        'div',
        { 'data-test': 'refusal' },
        drawProblem(notice.problem, {
          title: notice.items.length ? 'Your order was not placed' : 'That was not possible',
          actions: h(
            'div',
            { class: 'actions' },
            notice.problem.status === 401 && h('a', { class: 'button primary', href: signInAt() }, 'Sign in'),
            notice.items.length > 0 &&
              h(
                'button',
                {
                  type: 'button',
                  'data-test': 'put-back',
                  onclick: () => (
                    drop(notice),
                    putBack(notice.items, notice.problem.code === 'price-changed')
                  ),
                },
                notice.problem.code === 'price-changed' ? 'Show me the new price' : 'Put back in basket',
              ),
            h('button', { type: 'button', class: 'plain', onclick: () => drop(notice) }, 'Dismiss'),
          ),
        }),
      ),
    ),
  );
}

/** @param {Notice} notice */
function drop(notice) {
  notices = notices.filter((other) => other !== notice);
  draw();
}

/** @param {import('./basket.js').Item[]} items @param {boolean} [repriced]  With the prices of now, to be looked at before they are ordered again. */
export function putBack(items, repriced = false) {
  for (const item of items) addToBasket(item);
  go('/basket');
  if (repriced)
    screen('/api/screens/products', {}).then(
      ({ products }) => reprice(products),
      (error) => toast(`${problemOf(error).title}. The prices in the basket may be old.`, { tone: 'bad' }),
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
    notices = [{ id: operation.id, problem, items }, ...notices].slice(0, 5);
    draw();
    toast(items.length ? `Your order was not placed: ${problem.title}.` : `${problem.title}.`, {
      tone: 'bad',
      link: { href: '/orders', text: 'Details' },
    });
  });
  return operation;
}

/** Show the results of commands that a reload interrupted, too. */
export const tellOfRestored = () => client.onRestored((operation) => void follow(operation));

/** Where refusals are shown. */
export const noticeRegion = () => region;

/** Show toasts for orders that change while the page is open; orders of a snapshot are not new. */
export function tellOfOrders() {
  /** @type {Map<string, import('/client/index.js').Saga>} */
  let known = new Map();
  liveOrders.subscribe((orders) => {
    for (const order of orders) {
      const before = known.get(keyOf(order));
      if (!before || order.pending || (before.status === order.status && before.step === order.step))
        continue;
      announce(`Order: ${label(order)}`);
      if (!ended(order)) continue;
      const link = { href: `/orders/${order.id}`, text: 'See order' };
      if (order.status === 'COMPLETED') toast('Your order is on its way.', { tone: 'good', link });
      else
        toast(message(order)?.happened ?? label(order), {
          tone: order.reason === 'cancelled' ? 'plain' : 'bad',
          link,
        });
    }
    known = new Map(orders.map((order) => [keyOf(order), order]));
  });
}
