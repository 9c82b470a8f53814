/** The person's orders: those just placed in this browser, those under way, and those that have ended. */
import { noticesView } from '../notices.js';
import { orderRow } from '../order-row.js';
import { liveOrders, merge } from '../orders.js';
import { problemCard, signInCard, skeleton } from '../parts.js';
import { isSessionUnknown, user } from '../session.js';
import { h } from '../render.js';
import { useScreen } from '../screen.js';
import { texts } from '../texts.js';

/** @typedef {import('../shapes.js').Screen<'/api/screens/orders'>} OrdersScreen */
/** @typedef {import('../shapes.js').Order} Order */

const noneView = () =>
  h(
    'li',
    { class: 'card centred' },
    h('h2', {}, texts.orders.none),
    h('p', {}, texts.orders.noneWhat),
    h('a', { class: 'button primary', href: '/' }, texts.orders.goShopping),
  );

/** @param {{resource: import('../resource.js').Resource<OrdersScreen>, live: readonly Order[], signedIn: boolean, recognised: boolean}} state */
function ordersView({ resource: { data, problem, reload }, live, signedIn, recognised }) {
  const orders = signedIn ? merge(data?.orders ?? [], live) : [];
  const loading = !recognised || (signedIn && !data && !problem);
  return [
    h('h1', {}, texts.orders.title),
    noticesView(),
    h(
      'div',
      { class: 'note' },
      recognised && !signedIn && signInCard(),
      signedIn && problem && problemCard(problem, { retry: reload, title: texts.orders.cannotBeListed }),
    ),
    orders.length === 0 && loading
      ? h('div', { class: 'orders' }, skeleton(2))
      : h(
          'ul',
          { class: 'orders', 'aria-label': texts.orders.title },
          orders.map(orderRow),
          orders.length === 0 && signedIn && data && noneView(),
        ),
  ];
}

/** @type {import('../router.js').View} */
export function orders(visit) {
  const resource = useScreen(visit, '/api/screens/orders', {}, { personal: true });
  return {
    title: () => texts.orders.title,
    draw: () =>
      ordersView({
        resource,
        live: liveOrders.get(),
        signedIn: user() !== null,
        recognised: !isSessionUnknown(),
      }),
  };
}
