/** The person's orders: those just placed in this browser, those under way, and those that have ended. */
import { problemOf, screen } from '../api.js';
import { fill, h } from '../dom.js';
import { noticeRegion } from '../notices.js';
import { createOrderRow } from '../order-row.js';
import { keyOf, liveOrders, merge } from '../orders.js';
import { createPatience, drawProblem, lacking, signInCard, skeleton } from '../parts.js';
import { lose, onPerson, who } from '../person.js';

/** @typedef {import('../shapes.js').Order} Order */

/** @type {import('../router.js').View} */
export function orders({ onLeave }) {
  const list = h('ul', { class: 'orders', 'aria-label': 'Your orders' });
  const note = h('div', { class: 'note' });
  const body = h('div', {}, h('h1', {}, 'Your orders'), noticeRegion(), note, list);
  /** @type {Map<string, ReturnType<typeof createOrderRow>>} */
  const rows = new Map();
  /** @type {Order[]} */
  let listed = [];
  let loaded = false;
  let gone = false;
  onLeave(() => (gone = true));
  const patience = createPatience(load, onLeave);

  function draw() {
    const now = who() ? merge(listed, liveOrders.get()) : [];
    for (const order of now) {
      const row = rows.get(keyOf(order));
      if (row) row.update(order);
      else rows.set(keyOf(order), createOrderRow(order));
    }
    const elements = now.flatMap((order) => rows.get(keyOf(order))?.element ?? []);
    for (const key of rows.keys()) if (!now.some((order) => keyOf(order) === key)) rows.delete(key);
    if (elements.length === 0) {
      fill(
        list,
        !who()
          ? null
          : loaded
            ? h(
                'li',
                { class: 'card centred' },
                h('h2', {}, 'No orders yet'),
                h('p', {}, 'Your first order will show every step here, as it happens.'),
                h('a', { class: 'button primary', href: '/' }, 'Go shopping'),
              )
            : note.childElementCount === 0 && skeleton(2),
      );
    } else if (
      elements.length !== list.children.length ||
      elements.some((element, at) => element !== list.children[at])
    ) {
      fill(list, elements);
    }
  }

  async function load() {
    if (!who()) {
      fill(note, signInCard());
      return draw();
    }
    fill(note);
    draw();
    try {
      const data = await screen('/api/screens/orders', {});
      if (gone) return;
      listed = data.orders;
      loaded = true;
      patience();
    } catch (error) {
      if (gone) return;
      const problem = problemOf(error);
      if (problem.status === 401) return lose();
      fill(note, drawProblem(problem, { retry: load, title: 'Older orders cannot be listed right now' }));
      patience(...lacking(problem));
    }
    draw();
  }

  onLeave(liveOrders.subscribe(draw));
  onLeave(onPerson(load));
  void load();
  return { title: 'Your orders', body };
}
